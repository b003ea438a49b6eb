"""Read photographs and camera RAW files to (H, W, 3) arrays."""

from isp_gym.data.readers.camera_raw import read_raw
from isp_gym.data.readers.photos import read_photo

__all__ = ["read_photo", "read_raw"]
