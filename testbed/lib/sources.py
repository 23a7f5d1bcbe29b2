# SPDX-License-Identifier: BSD-3-Clause
"""Where this machine gets Debian from: its own apt sources, read (never changed)."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from .trouble import Trouble

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass
class Source:
    """One binary archive of the machine's apt set-up."""

    uri: str
    suites: list
    components: list
    options: dict = field(default_factory=dict)


def parse_list(text):
    """The binary sources of a one-line-style file (sources.list)."""
    sources = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match:
            words = [word.partition("=") for word in (match[1] or "").split()]
            options = {name.rstrip("+-").lower(): value for name, _, value in words}
            sources.append(Source(match[2], [match[3]], match[4].split(), options))
    return sources


def parse_deb822(text):
    """The binary sources of a deb822-style file (*.sources)."""
    sources = []
    text = re.sub(r"(?m)^#.*\n?", "", text)
    for stanza in re.split(r"\n\s*\n", text):
        fields = {}
        for match in re.finditer(r"(?m)^([A-Za-z-]+):((?:.*)(?:\n[ \t].*)*)", stanza):
            fields[match[1].lower()] = match[2].strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled") == "no":
            continue
        for uri in fields.get("uris", "").split():
            sources.append(Source(uri, fields.get("suites", "").split(),
                                  fields.get("components", "").split(), fields))
    return sources


def read_machine(root="/etc/apt"):
    """Every binary source of this machine."""
    root = Path(root)
    folder = root / "sources.list.d"
    lists = [root / "sources.list", *sorted(folder.glob("*.list"))]
    sources = []
    for path in lists:
        if path.is_file():
            sources += parse_list(path.read_text(errors="replace"))
    for path in sorted(folder.glob("*.sources")):
        sources += parse_deb822(path.read_text(errors="replace"))
    return sources


def main_archive(sources):
    """The source of the main Debian archive among them.

    That is the one with a plain suite (bookworm, stable, sid; not bookworm-security or
    bookworm-updates) and the component main, in an archive called debian.
    """
    def plain(suite):
        return re.fullmatch(r"[a-z]+", suite)

    candidates = [source for source in sources
                  if "main" in source.components and any(map(plain, source.suites))]
    for source in candidates:
        if source.uri.rstrip("/").endswith("/debian"):
            return source
    if candidates:
        return candidates[0]
    raise Trouble("this machine's apt sources name no main Debian archive to fetch arm64 "
                  "packages from; add one to /etc/apt/sources.list")


def lines_for(source, suite, kinds=("deb",), keyring=KEYRING):
    """Lines of a sources.list for `suite` in the same archive, trusted as the machine does."""
    keys = [key for key in re.split(r"[\s,]+", source.options.get("signed-by", ""))
            if key.startswith("/")]
    if keyring not in keys:
        keys.append(keyring)
    options = f"signed-by={','.join(keys)}"
    if source.options.get("trusted", "").lower() in ("yes", "true", "1"):
        options += " trusted=yes"
    return "".join(f"{kind} [{options}] {source.uri} {suite} main\n" for kind in kinds)
