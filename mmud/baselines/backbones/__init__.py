"""The small backbones that come with the package, and how they are pretrained."""
