"""Pixels in, pixels out: photos and videos, read and written by region."""

from masquerade.media import disclosure
from masquerade.media.encoders import CONTAINERS as VIDEO_CONTAINERS
from masquerade.media.encoders import codec_of
from masquerade.media.files import atomic_output, check_output, make_folder, sha256
from masquerade.media.frame import Frame, StillFrame, VideoFrame
from masquerade.media.images import FORMATS as IMAGE_FORMATS
from masquerade.media.images import StillImage, open_image, save_image
from masquerade.media.video import VideoInfo, VideoReader, VideoWriter, check_video_output, open_video, probe

__all__ = [
    "IMAGE_FORMATS",
    "VIDEO_CONTAINERS",
    "Frame",
    "StillFrame",
    "StillImage",
    "VideoFrame",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "atomic_output",
    "check_output",
    "check_video_output",
    "codec_of",
    "disclosure",
    "make_folder",
    "open_image",
    "open_video",
    "probe",
    "save_image",
    "sha256",
]
