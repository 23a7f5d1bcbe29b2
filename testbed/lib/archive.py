# SPDX-License-Identifier: BSD-3-Clause
"""Packages of other Debian suites and architectures, through apt with a private configuration.

Nothing of the machine's own apt set-up is changed: lists, state and downloads live in the cache.
apt checks signatures and hashes. A package set, once fetched, is kept; only `renew` asks the
archive again.
"""

import os
import re
import shutil
from pathlib import Path

from . import sources
from .cache import key
from .machine import TO_FETCH, install_lacking
from .trouble import Trouble

EMULATED = "arm64"
MAIN_SUITE = "trixie"
NEW_SUITE = "sid"

# Read after the machine's own configuration, whose proxies and credentials stay in force; its hooks
# would act on the machine.
_CONFIGURATION = """\
#clear APT::Update;
#clear DPkg;
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "{folder}/preferences";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
#clear APT::Architectures;
APT::Architecture "{architecture}";
APT::Architectures:: "{architecture}";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "1";
"""

# Sets that want packages of the newer suite name them; apt takes them from there, and their
# dependencies only where the main suite cannot satisfy them.
_PIN = "Package: {packages}\nPin: release n={suite}\nPin-Priority: {priority}\n\n"
_PINS = (_PIN.format(packages="*", suite=MAIN_SUITE, priority=900)
         + _PIN.format(packages="*", suite=NEW_SUITE, priority=100))


class Archive:
    """The archive this machine uses, seen as one of the suites and architectures wanted."""

    def __init__(self, cache, say, renew=False):
        self._cache = cache
        self._say = say
        self._renew = renew
        self._updated = set()

    def _settings(self, suite, architecture):
        """The folder of a private set-up of apt, and apt's words for it."""
        folder = self._cache.path("apt", f"{suite}-{architecture}")
        return folder, ["-c", folder / "apt.conf"]

    def _open(self, suite, architecture, stage):
        """apt's words for a set-up whose lists are of this run."""
        folder, words = self._settings(suite, architecture)
        if folder in self._updated:
            return words
        install_lacking(TO_FETCH, self._say)
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        archive = sources.main_archive(sources.read_machine())
        text = sources.lines_for(archive, MAIN_SUITE, ("deb", "deb-src"))
        if suite != MAIN_SUITE:
            text = sources.lines_for(archive, MAIN_SUITE) + sources.lines_for(archive, suite)
        (folder / "sources.list").write_text(text)
        (folder / "preferences").write_text(_PINS)
        (folder / "apt.conf").write_text(
            _CONFIGURATION.format(folder=folder, architecture=architecture))
        if stage.run(["apt-get", *words, "-q", "--error-on=any", "update"], need=False) is None:
            raise Trouble(f"cannot get the package lists of Debian's {suite} from this machine's "
                          "mirror (is there a network?)", [stage.log_path])
        self._updated.add(folder)
        return words

    def _set(self, name, suite, stage, fill, architecture=EMULATED):
        """The folder of a package set, filled by `fill(apt's words, folder)` if need be."""
        def build(folder):
            fill(self._open(suite, architecture, stage), folder)
            if not any(folder.iterdir()):
                raise Trouble(f"the archive has nothing for the package set '{name}'",
                              [stage.log_path])
        return self._cache.entry("packages", name, build, renew=self._renew)

    def with_dependencies(self, name, suite, packages, stage, newer=(), architecture=EMULATED):
        """Packages with all they depend on; those in `newer` from `suite` itself."""
        def fill(words, folder):
            preferences = folder / "preferences"
            pins = _PINS
            if newer:
                pins = _PIN.format(packages=" ".join(newer), suite=suite, priority=990) + pins
            preferences.write_text(pins)
            (folder / "partial").mkdir()
            stage.run(["apt-get", *words, "-o", f"Dir::Etc::preferences={preferences}",
                       "-o", f"Dir::Cache::archives={folder}", "-q", "-y", "--download-only",
                       "--no-install-recommends", "install", *packages])
            _keep_packages(folder)
        name = f"{name}-{key(suite, packages, newer, architecture)}"
        return self._set(name, suite, stage, fill, architecture)

    def alone(self, name, suite, choose, stage):
        """Packages without dependencies: those that `choose(all names there)` picks."""
        def fill(words, folder):
            names = stage.run(["apt-cache", *words, "pkgnames"]).split()
            stage.run(["apt-get", *words, "-q", "download",
                       *(f"{package}/{suite}" for package in choose(names))], cwd=folder)
        return self._set(name, suite, stage, fill)

    def source(self, name, package, stage):
        """A source package of the main suite, not unpacked."""
        def fill(words, folder):
            stage.run(["apt-get", *words, "-q", "--download-only", "source", package], cwd=folder)
        return self._set(name, MAIN_SUITE, stage, fill)


def _keep_packages(folder):
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".deb":
            path.unlink()


def choose_kernel(series):
    """Picks the newest kernel of a series (6.12, 7.2, 6.12-16k, ...) and its parts.

    Newer Debian suites split linux-image into linux-binary and linux-modules.
    """
    version, _, flavour = series.partition("-")
    pattern = re.compile(r"linux-image-((\d+)\.(\d+)\.(\d+)\+deb(\d+)(?:\.(\d+))?-arm64"
                         + (f"-{re.escape(flavour)}" if flavour else "") + ")")

    def choose(names):
        found = [(match, tuple(int(number or 0) for number in match.groups()[1:]))
                 for match in map(pattern.fullmatch, names) if match]
        same = [item for item in found if f"{item[1][0]}.{item[1][1]}" == version]
        if not same:
            raise Trouble(f"Debian has no arm64 kernel of series {series} any more (it has "
                          + ", ".join(sorted({f'{v[0]}.{v[1]}' for _, v in found})) + ")")
        release = max(same, key=lambda item: item[1])[0][1]
        return [name for name in (f"linux-{part}-{release}"
                                  for part in ("image", "binary", "modules")) if name in names]
    return choose


def unpack(folder, root, stage):
    """Unpacks a package set into a root folder with the merged /usr that packages expect."""
    for path in sorted(Path(folder).glob("*.deb")):
        stage.run(["dpkg-deb", "--extract", path, root])
    for name in ("bin", "sbin", "lib"):
        old, new = Path(root, name), Path(root, "usr", name)
        if old.is_dir() and not old.is_symlink():
            shutil.copytree(old, new, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(old)
        if not os.path.lexists(old):
            new.mkdir(parents=True, exist_ok=True)
            old.symlink_to(f"usr/{name}")
