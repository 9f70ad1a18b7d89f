"""The restricted pickle reader on what others may send: an MM70x error for all that is no plain data, and nothing runs."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmud.dataset.sources import safe_pickle
from mmud.dataset.sources.pickles.state import Limits
from mmud.errors import MmudError
from tests.dataset.sources.pickle_files import PROTOCOLS, SMALL, refusal, write


class Runs:
    """Pickles as a call; loading it would leave a mark."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


class Plain:
    def __init__(self) -> None:
        self.value = 1


class Slotted:
    __slots__ = ("value",)


MALICIOUS = {
    "os.system": pickle.dumps(Runs(os.system, "touch LOADED")),
    "builtins.eval": pickle.dumps(Runs(eval, "open('LOADED', 'w').close()")),
    "builtins.exec in a record": pickle.dumps([("1.jpg", Runs(exec, "open('LOADED', 'w')"))]),
    "subprocess": pickle.dumps(Runs(subprocess.check_call, ["touch", "LOADED"])),
    "getattr": pickle.dumps(Runs(getattr, [], "append")),
    "object": pickle.dumps(Plain()),
    "object, protocol 0": pickle.dumps(Plain(), 0),
    "object with slots": pickle.dumps(Slotted(), 2),
    "set": pickle.dumps({1, 2}),
    "set, protocol 2": pickle.dumps({1, 2}, 2),
    "frozenset": pickle.dumps(frozenset({1})),
    "complex": pickle.dumps(1j),
    "bytearray, protocol 4": pickle.dumps(bytearray(b"x"), 4),
    "object array": pickle.dumps(np.array([Plain()], dtype=object)),
    "structured array": pickle.dumps(np.zeros(2, dtype=[("a", "f4")])),
    "date array": pickle.dumps(np.array(["2020-01-01"], dtype="M8[D]")),
    "bare class": pickle.dumps(np.ndarray),
    "bare type": pickle.dumps(np.dtype("f4")),
    "nested attribute": b"\x80\x04\x8c\x05numpy\x94\x8c\x0cndarray.view\x94\x93.",
    "dotted module": b"cos.path\njoin\n.",
    "inst": b"(S'touch LOADED'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'touch LOADED'\no.",
    "newobj": b"\x80\x02cos\nsystem\n)\x81.",
    "newobj_ex": b"\x80\x04cos\nsystem\n)}\x92.",
    "newobj without a global": b"\x80\x02N)\x81.",
    "extension code": b"\x80\x02\x82\x01.",
    "extension codes 2 and 4": b"\x80\x02\x83\x01\x01\x84\x01\x01\x01\x01.",
    "persistent id": b"Psomething\n.",
    "binary persistent id": b"\x80\x02K\x01Q.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "read-only buffer": b"\x80\x05C\x01x\x98.",
    "calls text": b"X\x01\x00\x00\x00a)R.",
    "build on a list": b"]}b.",
    "build on an allowed function": b"\x80\x04c_codecs\nencode\n}\x8c\x01ab.",
    "build with slot state": b"\x80\x02c_codecs\nencode\nN}U\x0c__defaults__)s\x86b.",
    "encode with another codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_malicious_pickles_are_refused_and_nothing_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = refusal(MALICIOUS[name], tmp_path)
    # Read as a list, a value that is none is refused for that first.
    assert "MM701" in found
    assert found <= {"MM701", "MM704"}
    assert not (tmp_path / "LOADED").exists()


def test_extension_codes_resolved_before_are_refused(tmp_path: Path) -> None:
    # Python's unpickler hands out an extension's object from its cache without asking find_class again.
    copyreg.add_extension("textwrap", "dedent", 77)
    try:
        data = pickle.dumps(textwrap.dedent, 2)
        assert b"\x82" in data
        pickle.loads(data)
        assert refusal(data, tmp_path) == {"MM701"}
    finally:
        copyreg.remove_extension("textwrap", "dedent", 77)
        copyreg.clear_extension_cache()


def test_an_allowed_function_is_never_changed(tmp_path: Path) -> None:
    from mmud.dataset.sources.pickles import arrays

    before = arrays._encode.__defaults__
    refusal(MALICIOUS["build with slot state"], tmp_path)
    assert arrays._encode.__defaults__ == before
    assert not vars(arrays._encode)


BROKEN = {
    "empty": b"",
    "text": b"These are not the records you are looking for.",
    "json": b'[{"a": 1}]',
    "zip": b"PK\x03\x04" + bytes(50),
    "protocol 9": b"\x80\x09N.",
    "no stop": b"\x80\x04]",
    "stop alone": b".",
    "appends without a mark": b"]e.",
    "appends to a number": b"K\x01(K\x02e.",
    "append to a tuple": b")K\x01a.",
    "odd dictionary": b"}(K\x01u.",
    "dictionary of odd length": b"(K\x01d.",
    "list as a key": b"}]K\x01s.",
    "memo of an empty stack": b"\x94.",
    "get of an empty slot": b"h\x05.",
    "get by line in a binary pickle": b"\x80\x04N\x94g0\n.",
    "tuple of too few": b"K\x01\x87.",
    "float cut off": b"G\x00\x00",
    "text cut off": b"X\xff\x00\x00\x00abc",
    "text not UTF-8": b"X\x02\x00\x00\x00\xff\xfe.",
    "integer line of letters": b"Iabc\n.",
    "integer with an underscore": b"I1_0\n.",
    "string without quotes": b"Sabc\n.",
    "float line of letters": b"Fabc\n.",
    "line without an end": b"I12",
    "array without bytes": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    b"K\x00\x85C\x01b\x87R(K\x01K\x05\x85NNNtb.",
    "array of another length": pickle.dumps(np.arange(3.0)).replace(b"K\x03\x85", b"K\x04\x85", 1),
    "half an escape": b"S'\\x4'\n.",
}

HUGE = {
    "memo slot 2**32 - 1": b"\x80\x04Nr\xff\xff\xff\xff.",
    "memo slot by line": b"Np99999999999\n.",
    "text of 2**62 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"a.",
    "bytes of 2**40": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"a.",
    "bytearray of 2**40": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"a.",
    "integer of 2**31 bytes": b"\x80\x02\x8b\xff\xff\xff\x7f1.",
    "long line of digits": b"I" + b"9" * 600 + b"\n.",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_pickles_are_refused(name: str, tmp_path: Path) -> None:
    assert refusal(BROKEN[name], tmp_path) <= {"MM702", "MM703", "MM704"}


@pytest.mark.parametrize("name", HUGE)
def test_claims_of_memory_are_refused_without_claiming_it(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, HUGE[name])
    program = f"""
        import resource
        from pathlib import Path
        from mmud.dataset.sources import safe_pickle
        from mmud.errors import MmudError
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            safe_pickle.load(Path({str(path)!r}))
        except MmudError as error:
            print(error.code.id, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=60
    )
    code, kilobytes = run.stdout.split()
    assert code in ("MM702", "MM703")
    assert int(kilobytes) < 20_000


def test_a_frame_of_impossible_length_is_ignored() -> None:
    # The frame's length is a hint for readers that read ahead.
    assert safe_pickle.loads(b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fK\x07.") == 7


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04" + b"]" * 300_000 + b".",
        b"\x80\x04" + b"(" * 300_000 + b".",
        b"\x80\x04)" + b"\x85" * 300_000 + b".",
        b"\x80\x04N" + b"\x94" * 300_000 + b".",
        b"\x80\x04](" + b"}" * 300_000 + b"e.",
        b"\x80\x04]" + b"(" + b"N" * 300_000 + b"e.",
    ],
    ids=["lists", "marks", "nested tuples", "memo", "dictionaries in a list", "nothing but None"],
)
def test_bounds_of_what_is_alive(data: bytes, tmp_path: Path) -> None:
    path = write(tmp_path, data)
    for read in (safe_pickle.load, lambda path, limits: list(safe_pickle.stream(path, limits))):
        with pytest.raises(MmudError) as raised:
            # A window of the file is read before bounds are checked, so the smallest bound that bites is its length.
            read(path, Limits(1 << 20, 1 << 10, 1_000))
        assert raised.value.code.id in ("MM703", "MM702")


def test_file_size_is_bounded(tmp_path: Path) -> None:
    path = write(tmp_path, pickle.dumps(["x" * 1000]))
    for read in (safe_pickle.load, lambda path, limits: list(safe_pickle.stream(path, limits))):
        with pytest.raises(MmudError, match="MM703"):
            read(path, Limits(1000, 1000, 1000))


def test_deep_nesting_does_not_crash() -> None:
    data = b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b"."
    value = safe_pickle.loads(data)
    depth = 0
    while value:
        value = value[0]
        depth += 1
    assert depth == 99_999


def test_nesting_of_arrays_is_bounded() -> None:
    inner = pickle.dumps(np.arange(2.0), 2)[2:-1]
    data = b"\x80\x02" + b"]" * 5_000 + inner + b"a" * 5_000 + b"."
    with pytest.raises(MmudError, match="MM703"):
        safe_pickle.loads(data)


def test_shared_lists_do_not_grow_when_arrays_are_converted() -> None:
    # Forty levels, each naming the level before ten times: 10**40 paths, 40 lists.
    value: list[Any] = [np.arange(2.0)]
    for _ in range(40):
        value = [value] * 10
    read = safe_pickle.loads(pickle.dumps(value))
    for _ in range(40):
        read = read[0]
    assert read == [[0.0, 1.0]]


def test_what_a_stream_keeps_is_bounded(tmp_path: Path) -> None:
    # Every record comes back to the first, which shares its way to 10**40 elements: weighing it must end.
    bomb: list[Any] = ["x"]
    for _ in range(40):
        bomb = [bomb] * 10
    path = write(tmp_path, pickle.dumps([[bomb]] * 3_000))
    with pytest.raises(MmudError, match="MM703"):
        for _ in safe_pickle.stream(path):
            pass


def test_a_list_that_contains_itself() -> None:
    loop: list[Any] = [1.0]
    loop.append(loop)
    read = safe_pickle.loads(pickle.dumps(loop))
    assert read[1] is read


@given(st.binary(max_size=400), st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"\x80\x04]("]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
def test_random_bytes_never_crash(tmp_path: Path, data: bytes, head: bytes) -> None:
    path = write(tmp_path, head + data)
    for read in (lambda path: safe_pickle.load(path, SMALL), lambda path: list(safe_pickle.stream(path, SMALL))):
        try:
            read(path)
        except MmudError as error:
            assert error.code.id in ("MM701", "MM702", "MM703", "MM704")


OPCODES = st.lists(
    st.sampled_from([bytes([code]) for code in b"(]})0K2NGhjqraesudlt\x85\x86\x87\x88\x93\x94\x8c\x95.RbX"])
    | st.binary(max_size=9),
    max_size=60,
).map(b"".join)


@given(OPCODES)
@settings(max_examples=600)
def test_random_opcodes_agree_with_pickle_or_are_refused(data: bytes) -> None:
    """Where both readers read it, they read the same."""
    try:
        mine = safe_pickle.loads(data, SMALL)
    except MmudError:
        return

    class OnlyPlain(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            raise pickle.UnpicklingError("nothing is allowed")

    try:
        reference = OnlyPlain(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, ValueError):
        # A frame's length that does not fit: a hint to us, an error to Python.
        return
    assert repr(mine) == repr(reference)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_every_truncation_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = pickle.dumps(
        [("1.jpg", "text", [[1.5, 2.5, 3.5] * 10], {"a": b"b"})] * 3, data.draw(st.sampled_from(PROTOCOLS))
    )
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert refusal(cut, tmp_path) <= {"MM702"}
