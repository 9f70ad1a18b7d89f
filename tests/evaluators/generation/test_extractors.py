"""Extractors on networks made here: a TorchScript module with the published network's interface, tiny random CLIPs."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from mmud.errors import MmudError
from mmud.evaluators.generation import inception as inception_module
from mmud.evaluators.generation.extractors import (
    EXTRACTORS,
    Extractor,
    ExtractorIdentity,
    ExtractorOptions,
    ImageSource,
    full_batches,
    open_extractor,
    sources_of_folder,
)
from mmud.files import sha256_of
from mmud.images import ImageLimits

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


class Layers(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)


class Network(torch.nn.Module):
    """Takes what the published TorchScript takes; resizes inside by sampling, as it does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers()
        self.output = torch.nn.Linear(48, 7)

    def forward(self, img, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False):
        grid = torch.nn.functional.affine_grid(
            torch.eye(2, 3).unsqueeze(0).repeat([img.shape[0], 1, 1]), [img.shape[0], 3, 299, 299], align_corners=False
        )
        x = torch.nn.functional.grid_sample(img, grid, mode="bilinear", padding_mode="border", align_corners=False)
        features = self.layers((x - 128) / 128)
        if return_features:
            return features
        logits = torch.nn.functional.linear(features, self.output.weight) if no_output_bias else self.output(features)
        return torch.softmax(logits, 1)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "network.pt"
    torch.jit.script(Network()).save(str(path))
    return path


@pytest.fixture
def published(script, monkeypatch):
    """Takes the stand-in for the published network."""
    monkeypatch.setattr(inception_module, "PUBLISHED_SHA256", sha256_of(script))
    return script


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for index, (height, width) in enumerate([(40, 60), (40, 60), (299, 299), (20, 30), (40, 60)]):
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(root / f"{index}.png")
    return root


def images_of(folder):
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def test_the_published_hash_is_a_sha256():
    assert len(bytes.fromhex(inception_module.PUBLISHED_SHA256)) == 32


def test_other_weights_are_refused_then_accepted_by_their_hash(script):
    digest = sha256_of(script)
    with pytest.raises(MmudError) as caught:
        open_extractor("inception", ExtractorOptions(weights=script))
    assert caught.value.code.id == "MM871"
    assert f"--accept-hash {digest}" in caught.value.hint
    with pytest.raises(MmudError):
        open_extractor("inception", ExtractorOptions(weights=script, accept_hash="0" * 64))
    accepted = open_extractor("inception", ExtractorOptions(weights=script, accept_hash=digest.upper()))
    assert accepted.identity == ExtractorIdentity("inception", "network.pt", digest, "clean", inception=False)


def test_only_the_published_weights_are_inception(published):
    extractor = open_extractor("inception", ExtractorOptions(weights=published, mode="legacy"))
    assert isinstance(extractor, Extractor)
    assert extractor.identity.inception
    assert extractor.identity.mode == "legacy"
    assert extractor.identity.signature_fields() == {
        "extractor": "inception",
        "model": "network.pt",
        "mode": "legacy",
        "weights": sha256_of(published)[:12],
    }


def test_clean_mode_equals_clean_fid(published, folder):
    """clean-fid's order of work: its resize, then (x - 128) / 128, then the network's layers."""
    reference = pytest.importorskip(
        "cleanfid.resize", reason="clean-fid is not installed (pip install --no-deps clean-fid)"
    )
    resize = reference.build_resizer("clean")
    network = torch.jit.load(str(published)).eval()
    batch = torch.from_numpy(np.stack([resize(image) for image in images_of(folder)]).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        expected = network.layers((batch - 128) / 128).numpy()
    got = open_extractor("inception", ExtractorOptions(weights=published)).extract(sources_of_folder(folder))
    assert got.dtype == np.float32
    assert got == pytest.approx(expected, abs=1e-6)


def test_legacy_modes(published, folder):
    """legacy: the network resizes; legacy_pytorch: torch's bilinear interpolation, as pytorch-fid resizes."""
    network = torch.jit.load(str(published)).eval()
    inside, outside = [], []
    with torch.inference_mode():
        for image in images_of(folder):
            tensor = torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1))[None]
            inside.append(network(tensor, return_features=True).numpy()[0])
            resized = torch.nn.functional.interpolate(tensor, size=(299, 299), mode="bilinear", align_corners=False)
            outside.append(network.layers((resized - 128) / 128).numpy()[0])
    sources = sources_of_folder(folder)
    legacy = open_extractor("inception", ExtractorOptions(weights=published, mode="legacy", batch_size=3))
    assert legacy.extract(sources) == pytest.approx(np.stack(inside), abs=1e-6)
    pytorch = open_extractor("inception", ExtractorOptions(weights=published, mode="legacy_pytorch", batch_size=2))
    assert pytorch.extract(sources) == pytest.approx(np.stack(outside), abs=1e-5)


def test_class_probabilities_leave_the_bias_out(published, folder):
    network = torch.jit.load(str(published)).eval()
    extractor = open_extractor("inception", ExtractorOptions(weights=published, mode="legacy"))
    got = extractor.probabilities(sources_of_folder(folder))
    with torch.inference_mode():
        first = torch.from_numpy(images_of(folder)[0].astype(np.float32).transpose(2, 0, 1))[None]
        expected = network(first, no_output_bias=True).numpy()[0]
        biased = network(first).numpy()[0]
    assert got[0] == pytest.approx(expected, abs=1e-6)
    assert np.abs(got[0] - biased).max() > 1e-3
    assert got.sum(1) == pytest.approx(1, abs=1e-5)


def test_progress_and_batches(published, folder):
    seen = []
    options = ExtractorOptions(weights=published, batch_size=2)
    sources = sources_of_folder(folder)
    got = open_extractor("inception", options).extract(sources, lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]
    whole = open_extractor("inception", ExtractorOptions(weights=published, batch_size=5)).extract(sources)
    assert got == pytest.approx(whole, abs=1e-6)
    assert open_extractor("inception", options).extract([]).shape == (0, 2048)


@pytest.mark.parametrize("mode", ["clean", "legacy", "legacy_pytorch"])
def test_same_bits_in_any_order_and_shard(published, folder, mode):
    extractor = open_extractor("inception", ExtractorOptions(weights=published, mode=mode))
    sources = sources_of_folder(folder)
    whole = extractor.extract(sources)
    assert np.array_equal(extractor.extract(sources[::-1]), whole[::-1])
    assert np.array_equal(np.concatenate([extractor.extract(sources[:2]), extractor.extract(sources[2:])]), whole)


def test_full_batches():
    assert list(full_batches([1, 2, 3], 2)) == [([1, 2], 2), ([3, 3], 1)]
    assert list(full_batches([], 2)) == []


def test_an_unreadable_image_is_named(published, folder, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    extractor = open_extractor("inception", ExtractorOptions(weights=published))
    with pytest.raises(MmudError) as caught:
        extractor.extract([*sources_of_folder(folder), ImageSource("sample-9", tmp_path / "bad.png")])
    assert caught.value.code.id == "MM502"
    assert caught.value.where.sample == "sample-9"
    with pytest.raises(MmudError) as caught:
        extractor.extract([ImageSource("sample-10")])
    assert (caught.value.code.id, caught.value.where.sample) == ("MM870", "sample-10")


def test_images_from_bytes_equal_images_from_files(published, folder):
    extractor = open_extractor("inception", ExtractorOptions(weights=published))
    from_bytes = [ImageSource(path.name, data=path.read_bytes()) for path in sorted(folder.glob("*.png"))]
    assert np.array_equal(extractor.extract(from_bytes), extractor.extract(sources_of_folder(folder)))


def test_orientation_is_part_of_the_mode(published):
    options = ExtractorOptions(weights=published, limits=ImageLimits(exif_orientation=True))
    assert open_extractor("inception", options).identity.mode == "clean+exif"


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("inception", ExtractorOptions(), "MM007"),
        ("clip", ExtractorOptions(), "MM007"),
        ("transformers", ExtractorOptions(), "MM007"),
        ("inception", ExtractorOptions(weights="none.pt"), "MM002"),
        ("inception", ExtractorOptions(weights="none.pt", mode="sharp"), "MM872"),
        ("clip", ExtractorOptions(weights="no/such-model"), "MM007"),
        ("clip", ExtractorOptions(weights="../not an id"), "MM007"),
        ("clip", ExtractorOptions(weights=".", mode="sharp"), "MM872"),
        ("features", ExtractorOptions(weights="none.pt"), "MM872"),
        ("inceptoin", ExtractorOptions(), "MM004"),
    ],
)
def test_setting_up_refusals(name, options, code):
    with pytest.raises(MmudError) as caught:
        open_extractor(name, options)
    assert caught.value.code.id == code
    assert caught.value.exit_code in (2, 4)


def test_unknown_names_are_guessed():
    with pytest.raises(MmudError, match="inceptoin") as caught:
        open_extractor("inceptoin")
    assert "inception" in caught.value.hint
    assert EXTRACTORS.names() == ["clip", "features", "inception", "scenes-tiny", "transformers"]


def test_files_that_are_no_network(tmp_path):
    for name, data in (("text.pt", b"hello"), ("empty.pt", b"")):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(MmudError) as caught:
            open_extractor("inception", ExtractorOptions(weights=path, accept_hash=sha256_of(path)))
        assert caught.value.code.id == "MM877"
    headless = tmp_path / "headless.pt"
    torch.jit.script(torch.nn.Identity()).save(str(headless))
    with pytest.raises(MmudError, match="layers") as caught:
        open_extractor("inception", ExtractorOptions(weights=headless, accept_hash=sha256_of(headless)))
    assert caught.value.code.id == "MM877"


def test_an_accepted_network_of_another_interface(tmp_path, folder):
    class Strange(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = Layers()

        def forward(self, x):
            return x

    path = tmp_path / "strange.pt"
    torch.jit.script(Strange()).save(str(path))
    options = ExtractorOptions(weights=path, accept_hash=sha256_of(path), mode="legacy")
    with pytest.raises(MmudError, match="cannot take these images") as caught:
        open_extractor("inception", options).extract(sources_of_folder(folder))
    assert caught.value.code.id == "MM872"


def test_without_torch(published, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MmudError) as caught:
        open_extractor("inception", ExtractorOptions(weights=published))
    assert caught.value.code.id == "MM007"
    assert caught.value.exit_code == 4
    assert "mmud[images]" in caught.value.hint


def test_submitted_features():
    extractor = open_extractor("features", ExtractorOptions(model="CLIP ViT-B/32"))
    assert isinstance(extractor, Extractor)
    got = extractor.extract([ImageSource("a", feature=[1, 2]), ImageSource("b", feature=[3, 4])])
    assert got.tolist() == [[1, 2], [3, 4]]
    assert extractor.identity.signature_fields() == {"extractor": "features", "model": "CLIP ViT-B/32"}
    with pytest.raises(MmudError) as caught:
        extractor.extract([ImageSource("a", feature=[1, 2]), ImageSource("b")])
    assert (caught.value.code.id, caught.value.where.sample) == ("MM876", "b")


def test_a_plug_in_is_an_entry_point(tmp_path, monkeypatch):
    """A package on the path, with nothing but metadata and a module."""
    info = tmp_path / "sharp_extractor-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sharp-extractor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mmud.extractors]\nsharp = sharp_extractor:make\n")
    (tmp_path / "sharp_extractor.py").write_text(
        "import numpy as np\n"
        "from mmud.evaluators.generation.extractors import ExtractorIdentity\n"
        "class Sharp:\n"
        "    identity = ExtractorIdentity('sharp')\n"
        "    def extract(self, sources, progress=None):\n"
        "        return np.stack([source.pixels().mean((0, 1)) for source in sources]).astype(np.float32)\n"
        "def make(options):\n"
        "    return Sharp()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    EXTRACTORS.__dict__.pop("entries", None)
    try:
        extractor = open_extractor("sharp")
        assert isinstance(extractor, Extractor)
        assert extractor.identity.name == "sharp"
    finally:
        EXTRACTORS.__dict__.pop("entries", None)
