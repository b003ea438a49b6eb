"""What pyproject.toml cannot say: the packages that are found, and ``configs/`` as one more inside ``isp_gym``."""

from setuptools import find_namespace_packages, setup

PACKAGES = find_namespace_packages(include=["isp_gym*", "agents*", "baselines*"])

setup(packages=[*PACKAGES, "isp_gym.configs"], package_dir={"isp_gym.configs": "configs"})
