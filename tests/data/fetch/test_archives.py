"""Archives: what is wanted comes out, nothing lands elsewhere, and a broken archive is said to be one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from xharness.data.fetch import archives
from xharness.data.fetch.archives import Wanted, extract
from xharness.errors import DataError, OutputError

AR, EL = "ud-v2.5/UD_Arabic-PUD/ar_pud-ud-test.conllu", "ud-v2.5/UD_Greek-GDT/el_gdt-ud-test.conllu"
FILES = {
    AR: b"arabic\n" * 40,
    EL: b"greek\n" * 50,
    "ud-v2.5/UD_Greek-GDT/el_gdt-ud-dev.conllu": b"dev\n",
    "ud-v2.5/UD_Ancient_Greek-PROIEL/grc_proiel-ud-test.conllu": b"old\n",
    "ud-v2.5/README.txt": b"readme\n",
}


def tar(files: dict[str, bytes], prefix: str = "") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        folder = tarfile.TarInfo(f"{prefix}ud-v2.5")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ud-v2.5/", b"")
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


KINDS = {
    "a.tar": tar,
    "a.tgz": lambda files: gzip.compress(tar(files)),
    "a.tar.bz2": lambda files: bz2.compress(tar(files)),
    "a.tar.xz": lambda files: lzma.compress(tar(files)),
    "a.zip": zipped,
}


def take(content: bytes, name: str, to: Path, *patterns: str) -> dict[str, bytes]:
    written = extract(io.BytesIO(content), name, map(Wanted, patterns), to)
    found = {path.relative_to(to).as_posix(): path.read_bytes() for path in to.rglob("*") if path.is_file()}
    assert {path.relative_to(to).as_posix() for path in written} <= set(found)
    return found


@pytest.mark.parametrize("name", KINDS)
def test_only_what_is_wanted_comes_out(name, tmp_path):
    patterns = ["ud-v2.5/*/ar_*-ud-test.conllu", "ud-v2.5/*/el_*-ud-test.conllu", "ud-v2.5/*/ja_*-ud-test.conllu"]
    found = take(KINDS[name](FILES), name, tmp_path, *patterns)
    assert found == {AR: FILES[AR], EL: FILES[EL]}
    assert not stat.S_IMODE((tmp_path / AR).stat().st_mode) & 0o111


def test_folders_before_the_pattern_are_left_out(tmp_path):
    for prefix in ("./", "release/data/"):
        assert take(tar(FILES, prefix), "a.tar", tmp_path / prefix, "ud-v2.5/*/ar_*.conllu") == {AR: FILES[AR]}


def test_a_star_stands_for_one_part_of_a_name():
    assert Wanted("a/*/c_*.txt").tail("x/a/b/c_1.txt") == "a/b/c_1.txt"
    for other in ("a/b/d/c_1.txt", "b/c_1.txt", "c_1.txt", "a/b/c_1.txt/d", "a/b/c_1xtxt", "A/b/c_1.txt"):
        assert Wanted("a/*/c_*.txt").tail(other) is None
    assert Wanted("a[1].txt").tail("a1.txt") is None


def test_a_file_that_is_no_archive_is_itself_the_member(tmp_path):
    content = b'{"data": []}'
    both = ["x/de.json", "x/de.json.gz"]
    assert take(content, "xquad.json", tmp_path / "plain", *both) == {"x/de.json": content}
    packed = gzip.compress(content)
    assert take(packed, "xquad.json.gz", tmp_path / "gz", *both) == {"x/de.json.gz": packed}
    assert take(bz2.compress(content), "xquad.json.bz2", tmp_path / "bz2", *both) == {"x/de.json": content}
    assert take(b"a\tb\n", "de-en.dev.de", tmp_path / "stem", "b/de-en.dev.*") == {"b/de-en.dev.de": b"a\tb\n"}
    assert take(b"a\tb\n", "other.txt", tmp_path / "other", "b/de-en.dev.*", "*/a.txt") == {}
    assert take(b"", "empty.txt", tmp_path / "empty", "a.txt") == {"a.txt": b""}


@pytest.mark.parametrize(
    "name", ["../ud-v2.5/a.txt", "/ud-v2.5/a.txt", "x/../../ud-v2.5/a.txt", "C:\\..\\x/ud-v2.5/a.txt"]
)
@pytest.mark.parametrize("kind", ["a.tar", "a.zip"])
def test_no_path_leads_out_of_the_folder(kind, name, tmp_path):
    to = tmp_path / "raw" / "inner"
    with pytest.raises(DataError, match="has a path that leads out of the folder"):
        take(KINDS[kind]({name: b"x"}), kind, to, "ud-v2.5/*.txt")
    # A star is no way either to folders that a pattern does not name.
    with pytest.raises(DataError, match="leads out of the folder"):
        take(KINDS[kind]({"../a.txt": b"x"}), kind, to, "*/a.txt")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_in_a_tar_file_are_not_taken(type, tmp_path):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        info = tarfile.TarInfo("ud-v2.5/a.txt")
        info.type, info.linkname = type, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match=r"'ud-v2\.5/a\.txt' is a link or a device"):
        take(made.getvalue(), "a.tar", tmp_path, "ud-v2.5/*.txt")
    assert take(made.getvalue(), "a.tar", tmp_path, "ud-v2.5/*.conllu") == {}


def test_links_in_a_zip_file_are_not_taken(tmp_path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("ud-v2.5/a.txt")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="is a link or a device"):
        take(made.getvalue(), "a.zip", tmp_path, "ud-v2.5/*.txt")


def test_two_members_for_one_place(tmp_path):
    files = {"one/b/a.txt": b"1", "two/b/a.txt": b"2"}
    with pytest.raises(DataError, match=r"has two files for b/a\.txt: one/b/a\.txt and two/b/a\.txt"):
        take(zipped(files), "a.zip", tmp_path, "b/a.txt")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_an_archive_that_was_cut(name, part, tmp_path):
    whole = KINDS[name]({key: value + bytes(range(256)) * 30 for key, value in FILES.items()})
    with pytest.raises(DataError, match=rf"^{name}: the archive is corrupt or truncated: .*--from"):
        take(whole[: int(len(whole.rstrip(b"\0")) * part)], name, tmp_path, "ud-v2.5/*/el_*.conllu")
    assert not list(tmp_path.rglob("*.part"))


def test_a_tar_file_that_was_cut_between_two_members(tmp_path):
    whole = tar({AR: b"x" * 512, EL: b"y"})
    with pytest.raises(DataError, match="it ends in the middle"):
        take(whole[: 512 * 3], "a.tar", tmp_path, "ud-v2.5/*/ar_*.conllu")


def test_a_packed_file_that_was_cut(tmp_path):
    with pytest.raises(DataError, match=r"a\.json\.gz: the archive is corrupt"):
        take(gzip.compress(b"x" * 999)[:-5], "a.json.gz", tmp_path, "a.json.gz")
    assert list(tmp_path.iterdir()) == []


def test_bits_that_were_turned(tmp_path):
    for name in ("a.tgz", "a.tar.bz2", "a.tar.xz", "a.zip"):
        whole = bytearray(KINDS[name](FILES))
        middle = len(whole) // 2 if name != "a.zip" else 200
        whole[middle : middle + 40] = bytes(byte ^ 0x55 for byte in whole[middle : middle + 40])
        with pytest.raises(DataError, match="the archive is corrupt or truncated"):
            take(bytes(whole), name, tmp_path, "ud-v2.5/*/*.conllu")


def test_a_zip_file_with_a_password(tmp_path):
    whole = bytearray(zipped({AR: b"x"}))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := whole.find(magic, start)) >= 0:
            whole[start + flags] |= 1
            start += 4
    with pytest.raises(DataError, match="password required"):
        take(bytes(whole), "a.zip", tmp_path, "ud-v2.5/*/ar_*.conllu")


def test_a_page_in_place_of_an_archive(tmp_path):
    with pytest.raises(DataError, match=r"a\.tgz: is not an archive: it begins with b'<html>Not here.*error page"):
        take(b"<html>Not here</html>", "a.tgz", tmp_path, "ud-v2.5/*/ar_*.conllu")


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(OutputError, match=r"ar_pud-ud-test\.conllu: cannot be written: Not a directory"):
        take(tar(FILES), "a.tar", tmp_path / "raw", "ud-v2.5/*/ar_*.conllu")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        take(tar(FILES), "a.tar", tmp_path / "other", "ud-v2.5/*/ar_*.conllu")
    assert [path for path in (tmp_path / "other").rglob("*") if path.is_file()] == []


def test_a_disk_that_gets_full(tmp_path, monkeypatch):
    real = archives.os.fdopen

    def on_full_disk(descriptor: int, mode: str) -> object:
        archives.os.close(descriptor)
        return real(archives.os.open("/dev/full", archives.os.O_WRONLY), mode)

    monkeypatch.setattr(archives.os, "fdopen", on_full_disk)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        take(tar(FILES), "a.tar", tmp_path, "ud-v2.5/*/ar_*.conllu")
