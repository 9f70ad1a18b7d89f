"""The way in: scores of matrices, folders and captions, their names, signatures, warnings and invariance."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mmud
from mmud.errors import MmudError, catalogue
from mmud.evaluators.generation.clip_scores import clip_score_rows, feature_error_rows
from mmud.evaluators.generation.cmmd import cmmd
from mmud.evaluators.generation.extractors import ExtractorIdentity, ImageSource
from mmud.evaluators.generation.folders import (
    CachePolicy,
    score_captioned_images,
    score_image_folders,
    score_images,
)
from mmud.evaluators.generation.frechet import frechet_distance
from mmud.evaluators.generation.inception_score import inception_score
from mmud.evaluators.generation.kid import kid, kid_of_subsets
from mmud.evaluators.generation.metrics import METRICS, PAIRED
from mmud.evaluators.generation.scores import Bootstrap, score_features, score_probabilities, score_text_match
from mmud.evaluators.signatures import parse

PUBLISHED = ExtractorIdentity("inception", "inception-2015-12-05.pt", "f5" * 32, "clean", inception=True)
OTHER = ExtractorIdentity("inception", "mine.pt", "ab" * 32, "clean")
CLIP = ExtractorIdentity("clip", "vit", "cd" * 32, "processor")
FAST = Bootstrap(replicates=50)


@pytest.fixture(scope="module")
def pair(network_features):
    return network_features(40, 12, 1), network_features(40, 12, 2, shift=0.2)


def test_values_are_those_of_the_metrics(pair):
    a, b = pair
    names = ["frechet_distance", "kid", "kid_subsets", "cmmd", "feature_mae"]
    scores = score_features(a, b, metrics=names, paired=True, bootstrap=FAST).metrics
    assert scores["frechet_distance"].value == frechet_distance(a, b)
    assert scores["kid"].value == kid(a, b)
    assert scores["kid_subsets"].value == kid_of_subsets(a, b).mean
    assert scores["cmmd"].value == cmmd(a, b)
    assert scores["feature_mae"].value == pytest.approx(feature_error_rows(a, b).mean(), abs=1e-15)
    for name, score in scores.items():
        assert score.low < score.value < score.high, name
        assert score.n == 40


def test_only_the_published_network_is_called_fid(pair):
    published = score_features(*pair, identity=PUBLISHED, bootstrap=FAST)
    assert list(published.metrics) == ["fid", "kid"]
    for identity in (OTHER, CLIP, ExtractorIdentity("features")):
        scores = score_features(*pair, identity=identity, bootstrap=FAST)
        assert "fid" not in json.dumps(scores.to_dict()).lower()
        assert "frechet_distance" in scores.metrics
        with pytest.raises(MmudError) as caught:
            score_features(*pair, metrics=["fid"], identity=identity)
        assert caught.value.code.id == "MM872"
    assert score_features(*pair, metrics=["fid"], identity=PUBLISHED, bootstrap=FAST).metrics["fid"].value == (
        frechet_distance(*pair)
    )


def test_signature_names_what_the_figure_depends_on(pair):
    score = score_features(*pair, identity=PUBLISHED, bootstrap=Bootstrap(replicates=20, seed=3)).metrics["fid"]
    assert score.signature == (
        "metric:fid|extractor:inception|model:inception-2015-12-05.pt|mode:clean|weights:f5f5f5f5f5f5|pairs:no"
        f"|covariance:n-1|interval:linearised,percentile-expanded,20,seed=3,0.95|n:40|version:mmud-{mmud.__version__}"
    )
    kernel = score_features(pair[0], pair[1][:30], metrics=["kid"], bootstrap=FAST).metrics["kid"]
    assert kernel.n == 40
    assert parse(kernel.signature) == {
        "metric": "kid",
        "extractor": "features",
        "pairs": "no",
        "n_reference": "30",
        "estimator": "unbiased",
        "interval": "linearised,percentile-expanded,50,seed=0,0.95",
        "n": "40",
        "version": f"mmud-{mmud.__version__}",
    }


def test_result_as_json(pair):
    result = json.loads(json.dumps(score_features(*pair, identity=CLIP, bootstrap=FAST).to_dict(), allow_nan=False))
    assert list(result["metrics"]) == ["frechet_distance", "kid", "cmmd"]
    assert set(result["metrics"]["kid"]) == {"value", "low", "high", "n", "signature"}
    assert result["extractor"] == {
        "name": "clip",
        "model": "vit",
        "weights": "cd" * 32,
        "mode": "processor",
        "inception": False,
    }


def test_warnings_are_data(network_features):
    few = score_features(network_features(10, 12, 1), network_features(11, 12, 2), bootstrap=FAST)
    assert [warning.code.id for warning in few.warnings] == ["MM865", "MM865", "MM866"]
    assert [warning["code"] for warning in few.to_dict()["warnings"]] == ["MM865", "MM865", "MM866"]
    enough = score_features(network_features(13, 12, 1), network_features(13, 12, 2), bootstrap=FAST)
    assert enough.warnings == ()


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 999), paired=st.booleans())
def test_same_bits_in_any_order(pair, seed, paired):
    """Values and intervals; pairs move together, unpaired sets each by themselves."""
    a, b = pair
    random = np.random.default_rng(seed)
    order = random.permutation(40)
    other = order if paired else random.permutation(40)
    groups = np.arange(40) // 2
    names = ["frechet_distance", "kid", "kid_subsets", "cmmd"] + (["feature_mae", "feature_cosine"] if paired else [])

    def scored(first, second, clusters, others):
        return score_features(
            first, second, metrics=names, paired=paired, groups_a=clusters, groups_b=others, bootstrap=FAST
        ).to_dict()

    whole = scored(a, b, groups, None if paired else groups)
    assert scored(a[order], b[other], groups[order], None if paired else groups[other]) == whole


def test_no_intervals_on_request(pair):
    scores = score_features(*pair, bootstrap=Bootstrap(replicates=0)).metrics
    assert all(score.low is None and score.high is None for score in scores.values())
    assert all("interval:none" in score.signature for score in scores.values())
    with_intervals = score_features(*pair, bootstrap=FAST).metrics
    assert {name: score.value for name, score in scores.items()} == {
        name: score.value for name, score in with_intervals.items()
    }


def test_equal_sets_have_no_width(pair):
    scores = score_features(pair[0], pair[0], paired=True, bootstrap=FAST).metrics
    assert scores["frechet_distance"].value == pytest.approx(0, abs=1e-12)
    assert scores["frechet_distance"].high == pytest.approx(0, abs=1e-9)
    assert scores["feature_mae"].value == 0
    assert scores["feature_cosine"].value == pytest.approx(1, abs=1e-15)


def test_two_samples_are_enough_and_give_finite_figures():
    random = np.random.default_rng(0)
    scores = score_features(random.random((2, 3)), random.random((2, 3)), bootstrap=FAST)
    assert json.loads(json.dumps(scores.to_dict(), allow_nan=False))["metrics"]


def test_clusters_widen_the_interval(network_features):
    """Ten copies of each sample, clustered: the interval of the 20 distinct ones, not of 200."""
    a, b = (np.repeat(network_features(20, 6, seed), 10, axis=0) for seed in (1, 2))
    groups = np.repeat(np.arange(20), 10)
    alone = score_features(a, b, metrics=["feature_cosine"], paired=True).metrics["feature_cosine"]
    whole = score_features(a, b, metrics=["feature_cosine"], paired=True, groups_a=groups).metrics["feature_cosine"]
    assert (whole.high - whole.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(10), rel=0.2)


def test_one_cluster_has_no_interval(pair):
    scores = score_features(*pair, paired=True, groups_a=np.zeros(40), bootstrap=FAST).metrics
    assert all(score.low is None and score.high is None for score in scores.values())
    assert all("|interval:none|" in score.signature for score in scores.values())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"metrics": ["feature_mae"]}, "MM879"),
        ({"metrics": ["inception_score"]}, "MM872"),
        ({"metrics": ["psnr"]}, "MM001"),
        ({"groups_a": [1, 2]}, "MM879"),
    ],
)
def test_refusals(pair, change, code):
    with pytest.raises(MmudError) as caught:
        score_features(*pair, **change)
    assert caught.value.code.id == code


def test_sets_that_cannot_be_compared(pair):
    a, b = pair
    for first, second, paired, code in (
        (a[:1], b, False, "MM864"),
        (a, b[:1], False, "MM864"),
        (a, b[:, :5], False, "MM862"),
        (a, b[:30], True, "MM879"),
    ):
        with pytest.raises(MmudError) as caught:
            score_features(first, second, paired=paired)
        assert caught.value.code.id == code


def test_every_metric_is_described():
    assert all(metric.name == name and metric.unit and metric.description for name, metric in METRICS.items())
    assert METRICS.keys() > PAIRED
    assert METRICS["clip_score"].higher_is_better
    assert not METRICS["frechet_distance"].higher_is_better


def test_codes_are_declared_once_and_in_range():
    ours = [code for code in catalogue() if "MM860" <= code <= "MM879"]
    assert len(ours) >= 15
    assert all(catalogue()[code].remedy and catalogue()[code].explanation for code in ours)


class Colours:
    """A stand-in network: mean and deviation of each channel; classes from the mean colour; texts by their length."""

    def __init__(self, identity) -> None:
        self.identity = identity

    def extract(self, sources, progress=None):
        rows = [np.r_[source.pixels().mean((0, 1)), source.pixels().std((0, 1))] for source in sources]
        if progress is not None:
            progress(len(rows), len(rows))
        return np.stack(rows).astype(np.float32)


class Inception(Colours):
    def probabilities(self, sources, progress=None):
        rows = self.extract(sources)[:, :3] + 1
        return rows / rows.sum(1, keepdims=True)


class Clip(Colours):
    def embed_texts(self, texts, prompt="A photo depicts "):
        return np.array([[len(prompt + text), 1, 2, 3, 4, 5] for text in texts], np.float32), []


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    random = np.random.default_rng(0)
    made = []
    for name, suffix in (("generated", "png"), ("reference", "jpg")):
        root = tmp_path_factory.mktemp(name)
        for index in range(12):
            (root / "sub").mkdir(exist_ok=True)
            pixels = random.integers(index * 10, index * 10 + 60, (9, 11, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / ("sub" if index % 2 else ".") / f"{index}.{suffix}")
        made.append(root)
    return made


def test_folders(folders, tmp_path):
    cache = CachePolicy(folder=tmp_path)
    extractor = Inception(PUBLISHED)
    names = ["frechet_distance", "kid", "inception_score"]
    first = score_image_folders(*folders, extractor, metrics=names, bootstrap=FAST, cache=cache)
    assert list(first.metrics) == ["fid", "kid", "inception_score"]
    assert first.metrics["inception_score"].n == 12
    features = [extractor.extract([ImageSource("", path) for path in sorted(root.rglob("*.*"))]) for root in folders]
    assert first.metrics["fid"].value == frechet_distance(*features)
    assert len(list(tmp_path.iterdir())) == 1
    again = score_image_folders(*folders, extractor, metrics=names, bootstrap=FAST, cache=cache)
    assert again.to_dict() == first.to_dict()


def test_paired_folders_match_by_name(folders, tmp_path):
    scores = score_image_folders(*folders, Colours(OTHER), paired=True, bootstrap=FAST, cache=CachePolicy(False))
    assert list(scores.metrics) == ["frechet_distance", "kid", "feature_mae", "feature_cosine"]
    assert "|pairs:yes|" in scores.metrics["kid"].signature
    Image.new("RGB", (3, 3)).save(tmp_path / "0.png")
    with pytest.raises(MmudError, match="no partner") as caught:
        score_image_folders(tmp_path, folders[1], Colours(OTHER), paired=True)
    assert caught.value.code.id == "MM879"
    Image.new("RGB", (3, 3)).save(tmp_path / "0.bmp")
    with pytest.raises(MmudError, match="share one name"):
        score_image_folders(tmp_path, folders[1], Colours(OTHER), paired=True)


def test_folder_refusals(folders, tmp_path):
    for first, extractor, code in (
        (tmp_path, Colours(OTHER), "MM870"),
        (tmp_path / "none", Colours(OTHER), "MM002"),
        (folders[0], "inception", "MM007"),
        (folders[0], "incepton", "MM004"),
    ):
        with pytest.raises(MmudError) as caught:
            score_image_folders(first, folders[1], extractor)
        assert caught.value.code.id == code
    with pytest.raises(MmudError, match="no class probabilities") as caught:
        score_image_folders(*folders, Colours(OTHER), metrics=["inception_score"])
    assert caught.value.code.id == "MM872"
    sources = [ImageSource("a", folders[0] / "0.png")] * 3
    with pytest.raises(MmudError, match="3 images against 2"):
        score_images(sources, sources[:2], Colours(OTHER), paired=True)


def test_submitted_features_need_no_images(pair):
    a, b = ([ImageSource(str(index), feature=row) for index, row in enumerate(rows)] for rows in pair)
    from mmud.evaluators.generation.extractors import open_extractor

    scores = score_images(a, b, open_extractor("features"), paired=True, bootstrap=FAST)
    assert scores.metrics["frechet_distance"].value == frechet_distance(*pair)
    assert scores.metrics["kid"].signature.startswith("metric:kid|extractor:features|pairs:yes|")


def test_captions(folders):
    sources = [ImageSource(path.name, path) for path in sorted(folders[0].glob("*.png"))]
    captions = ["c" * (index + 1) for index in range(len(sources))]
    extractor = Clip(CLIP)
    scores = score_captioned_images(sources, captions, extractor, bootstrap=FAST)
    expected = clip_score_rows(extractor.extract(sources), extractor.embed_texts(captions)[0])
    assert scores.metrics["clip_score"].value == pytest.approx(expected.mean(), abs=1e-14)
    assert "|prompt:A photo depicts|" in scores.metrics["clip_score"].signature
    assert "|prompt:none|" in scores.metrics["clip_similarity"].signature
    with pytest.raises(MmudError) as caught:
        score_captioned_images(sources, captions[1:], extractor)
    assert caught.value.code.id == "MM879"
    with pytest.raises(MmudError, match="no text side"):
        score_captioned_images(sources, captions, Colours(OTHER))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999))
def test_row_scores_have_the_same_bits_in_any_order(seed):
    random = np.random.default_rng(0)
    images, texts, probabilities = random.random((30, 4)), random.random((30, 4)), random.dirichlet(np.ones(5), 30)
    order = np.random.default_rng(seed).permutation(30)
    whole = score_text_match(images, texts, texts, identity=CLIP, bootstrap=FAST)
    moved = score_text_match(images[order], texts[order], texts[order], identity=CLIP, bootstrap=FAST)
    assert whole.to_dict() == moved.to_dict()
    whole = score_probabilities(probabilities, identity=PUBLISHED, splits=3, bootstrap=FAST)
    moved = score_probabilities(probabilities[order], identity=PUBLISHED, splits=3, bootstrap=FAST)
    assert whole.to_dict() == moved.to_dict()
    assert whole.metrics["inception_score"].value == inception_score(probabilities, splits=3).mean


def test_features_are_scored_without_torch(tmp_path):
    """A machine that only scores has no torch: neither import nor score touches it or scipy's heavy parts at import."""
    script = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "import mmud.evaluators.generation.folders, mmud.evaluators.generation.scores as scores\n"
        "assert not any(name in sys.modules for name in ('scipy', 'pandas', 'datasets'))\n"
        "import numpy as np\n"
        "rows = np.random.default_rng(0).random((30, 4))\n"
        "print(scores.score_features(rows, rows[::-1] + 1).metrics['frechet_distance'].value)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(4, abs=1e-9)
