"""Enhance photo files and camera RAW files with any policy, at full resolution."""

from isp_gym.enhance.apply import apply_pipeline
from isp_gym.enhance.enhancer import Enhanced, Enhancer
from isp_gym.enhance.files import Job, plan_jobs
from isp_gym.enhance.tiles import apply_in_tiles

__all__ = ["Enhanced", "Enhancer", "Job", "apply_in_tiles", "apply_pipeline", "plan_jobs"]
