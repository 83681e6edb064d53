"""Mel spectrogram: the energy in bands spaced as the ear spaces them."""

from dataclasses import dataclass

from dcasekit.core.units import FloatArray
from dcasekit.features._mel import Mel, check_mel, mel_basis
from dcasekit.features._spectral import SpectralFeature


@dataclass(frozen=True, kw_only=True)
class MelSpectrogram(SpectralFeature):
    """Mel spectrogram: (frames, mel bands), by default in dB.

    Parameters
    ----------
    sequence_time, sequence_hop_time, least_real, audio_win, audio_hop, sr, resampler : see `FeatureExtractor`.
    stft : settings of the transform, see `STFT`.
    mel : settings of the mel filter bank, see `Mel`; 64 bands by default.
    log : `Decibels` (default), `NaturalLog`, or ``None`` for linear energy or magnitude.

    Examples
    --------
    The same numbers as ``librosa.power_to_db(librosa.feature.melspectrogram(y=audio, sr=22050, hop_length=512, n_mels=64))``:

    >>> from dcasekit.features import STFT, Decibels, Mel
    >>> MelSpectrogram(
    ...     sr=22050, audio_win=2048, audio_hop=512, stft=STFT(pad="constant"), mel=Mel(bands=64), log=Decibels(top_db=80.0)
    ... ).dims
    64

    The published front end of the DCASE 2018 task 4 baseline, dcase_util's ``MelExtractor``, with windows of another length:

    >>> MelSpectrogram.preset("dcase2018_task4", sequence_time=1.0).sequence_frames
    50

    The same as torchaudio's ``MelSpectrogram(sample_rate=22050, n_fft=1024, hop_length=512, n_mels=64)``:

    >>> torchaudio = MelSpectrogram(sr=22050, audio_win=1024, audio_hop=512, mel=Mel(scale="htk", norm=None), log=None)
    """

    mel: Mel = Mel()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mel(self.mel, self.sr, self.stft.length(self.audio_win))

    def bands(self, spectrum: FloatArray) -> FloatArray:
        """Sum the spectrum into mel bands."""
        return spectrum @ mel_basis(self.mel, self.sr, self.stft.length(self.audio_win))
