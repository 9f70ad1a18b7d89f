"""MM860 to MM879: images, features and distances of the generation task."""

from __future__ import annotations

from mmud.errors import ExitCode, Severity, declare

FEATURES_MALFORMED = declare(
    "MM860",
    "not a feature matrix",
    "Give a two-dimensional array of real numbers, one row an image.",
    "Distances between sets of images compare matrices of shape (images, dimensions) of floats or integers. Another "
    "number of axes, an empty axis, or complex, boolean, text or object values cannot be compared.",
    exit_code=ExitCode.PREDICTIONS,
)
FEATURES_NOT_FINITE = declare(
    "MM861",
    "feature is not a finite number",
    "Find the image whose feature is NaN, infinite or absurdly large and extract it again.",
    "One NaN makes a whole distance NaN. It usually comes from half precision that overflowed, or from a division by a "
    "zero norm before the features were saved. Magnitudes above 1e30 are refused too: their squares lose all precision.",
    exit_code=ExitCode.PREDICTIONS,
)
DIMENSION_MISMATCH = declare(
    "MM862",
    "features of different dimensions",
    "Extract both sets with the same network, weights and layer.",
    "A distance is only defined between features of one space. Different lengths are a sure sign of different extractors.",
    exit_code=ExitCode.PREDICTIONS,
)
FEATURES_FILE = declare(
    "MM863",
    "feature file cannot be read",
    "Save the matrix with numpy.save(path, array, allow_pickle=False).",
    "Only plain .npy files are read: nothing that holds Python objects (they would run code when loaded), no archive, no "
    "file that is shorter or longer than its header says, and none above the size bound.",
    exit_code=ExitCode.PREDICTIONS,
)
TOO_FEW_SAMPLES = declare(
    "MM864",
    "too few samples",
    "Compare at least two images on each side; a useful figure needs at least as many images as dimensions.",
    "A covariance and an unbiased kernel distance need two samples on each side, and an Inception Score one in each split.",
    exit_code=ExitCode.PREDICTIONS,
)
FEWER_SAMPLES_THAN_DIMENSIONS = declare(
    "MM865",
    "fewer samples than dimensions",
    "Compare this figure only with others of the same n, and read the kernel distance beside it.",
    "With n below the dimension the covariance is singular and the Fréchet distance has a large upward bias, which shrinks "
    "as n grows. Figures at different n are not comparable.",
    severity=Severity.WARNING,
)
UNEQUAL_SAMPLES = declare(
    "MM866",
    "sets of different size",
    "Use the same number of images on both sides where figures are to be compared.",
    "The Fréchet distance is biased by the size of each set, so a figure of 1,403 against 1,403 cannot be compared with one "
    "of 1,403 against 40,000.",
    severity=Severity.WARNING,
)
ZERO_FEATURE = declare(
    "MM867",
    "feature of length zero",
    "Extract the feature of that image again.",
    "A cosine, a CLIP score and the normalised error divide by the length of the feature; a row of zeros has none.",
    exit_code=ExitCode.PREDICTIONS,
)
NO_IMAGES = declare(
    "MM870",
    "no images",
    "Name a folder that holds PNG, JPEG, WebP or BMP files; sub-folders are searched too.",
    "The folder, or the list of samples, holds no image to compare.",
    exit_code=ExitCode.USAGE,
)
WEIGHTS_DIFFER = declare(
    "MM871",
    "weights differ from the published ones",
    "Get the published file, or repeat the command with --accept-hash and the hash that the message gives.",
    "FID is the Fréchet distance in the feature space of one published network. With any other weights the figure is "
    "another metric; when it is accepted it is called frechet_distance, never FID.",
    exit_code=ExitCode.USAGE,
)
EXTRACTOR_UNUSABLE = declare(
    "MM872",
    "extractor cannot be used this way",
    "`mmud plugins` lists the extractors; give --weights with the path of the network and a --mode that it knows.",
    "An extractor needs its weights by path (nothing is downloaded behind your back), knows only its own modes, and may "
    "lack what a metric asks of it, such as class probabilities or a text encoder.",
    exit_code=ExitCode.USAGE,
)
CACHE_CORRUPT = declare(
    "MM873",
    "cached features are damaged",
    "Nothing to do: they are computed again. If it comes back, check the disk, or remove the cache folder.",
    "A cached file does not hold what its checksum says. It is ignored and replaced.",
    severity=Severity.WARNING,
)
TEXT_TRUNCATED = declare(
    "MM874",
    "text longer than the text encoder reads",
    "Read the CLIP score of long captions with care, or use a model with a longer text encoder.",
    "CLIP's text encoder reads 77 tokens; what follows is cut off and does not count. MMUD captions have about 120.",
    severity=Severity.WARNING,
)
NOT_PROBABILITIES = declare(
    "MM875",
    "rows are not class probabilities",
    "Give the softmax of the network's class scores (each row sums to 1), or pass the scores as logits.",
    "The Inception Score is defined on class probabilities: no negative entry, and a sum of 1 in every row.",
    exit_code=ExitCode.PREDICTIONS,
)
FEATURE_MISSING = declare(
    "MM876",
    "a sample carries no feature",
    'Write a "feature" in every row of generation.jsonl, or choose an extractor that reads the images.',
    "The extractor `features` compares what the submission carries. A figure over some of the samples would not be "
    "comparable, so one missing feature refuses the whole.",
    exit_code=ExitCode.PREDICTIONS,
)
MODEL_UNLOADABLE = declare(
    "MM877",
    "network cannot be loaded",
    "Check that the path is a TorchScript file (inception) or a transformers folder with safetensors weights (others).",
    "The file or folder is not a network of the kind the extractor reads. Pickled weights are not opened.",
    exit_code=ExitCode.USAGE,
)
UNDEFINED = declare(
    "MM878",
    "the metric has no value",
    "Look at the features: they are too large for the metric, or degenerate.",
    "The computation ended in a value that is not finite. It is refused rather than written down as a score.",
    exit_code=ExitCode.PREDICTIONS,
)
NOT_PAIRED = declare(
    "MM879",
    "rows do not pair up",
    "Give both sides the same samples in the same order.",
    "Error and cosine of a feature, and CLIP scores, compare row i with row i; so does a paired bootstrap.",
    exit_code=ExitCode.PREDICTIONS,
)
