"""ISP Gym: Gymnasium environments for learned camera image signal processors."""

from isp_gym.envs import register

__version__ = "0.1.0"

register()
