"""The generation task: distances between sets of images, and scores of each image.

``score_features`` and ``score_image_folders`` are the way in; every metric is also a plain function in its own module.
"""
