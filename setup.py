"""Finds the packages; everything else stands in setup.cfg.

setup.cfg's ``find:`` takes one root, and the package under engines/ is installed as rtelasto_engines.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["rtelasto", "rtelasto.*"]),
        *("rtelasto_engines" + f".{name}" * bool(name) for name in ("", *find_packages("engines"))),
    ],
    package_dir={"rtelasto": "rtelasto", "rtelasto_engines": "engines"},
)
