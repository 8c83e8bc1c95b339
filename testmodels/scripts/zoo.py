"""Export the networks that people have, with random weights, and judge relupath on them.

    zoo.py export DIR [torchvision|timm|transformers|small] [--only NAME,...] [--exporter ts|dynamo] [--double] [--calibrate]
    zoo.py check DIR --relupath PATH [--only NAME,...] [--markdown FILE]

export writes one file for each network and exporter of PyTorch. Those of small, families at a few channels and
transformers without what the exporter says of its own code, are onnxio/testdata/zoo, which CI checks. With --double all
numbers are float64, and PyTorch's outputs are beside the file, for ONNX Runtime has no convolution of float64. With --calibrate the
statistics of batch normalisations are those of 16 random pictures, as training leaves them; else they limit nothing. check audits each,
compares the norms of its layers with NumPy's on the stored tensors, and the outputs
of relupath run with ONNX Runtime's. It prints one line for each file and ends
with 1 if one fails; a file that takes too long or too much memory costs that file only.

Wants torch, torchvision, timm, transformers, onnx, onnxruntime, onnxscript, numpy.
"""

import argparse
import os
import sys
import warnings

import judge
import numpy as np

TORCHVISION = {
    "alexnet": 224, "convnext_tiny": 64, "densenet121": 64, "efficientnet_b0": 64, "efficientnet_v2_s": 64, "googlenet": 96,
    "inception_v3": 96, "maxvit_t": 224, "mnasnet0_5": 64, "mobilenet_v2": 64, "mobilenet_v3_small": 64, "mobilenet_v3_large": 64,
    "regnet_x_400mf": 64, "regnet_y_400mf": 64, "resnet18": 64, "resnet50": 64, "resnext50_32x4d": 64, "wide_resnet50_2": 64,
    "shufflenet_v2_x0_5": 64, "squeezenet1_1": 64, "swin_t": 64, "swin_v2_t": 64, "vgg11": 224, "vgg11_bn": 224, "vit_b_32": 224,
    "segmentation.fcn_resnet50": 64, "segmentation.deeplabv3_mobilenet_v3_large": 64, "segmentation.lraspp_mobilenet_v3_large": 64,
    "detection.ssdlite320_mobilenet_v3_large": 320, "detection.fasterrcnn_mobilenet_v3_large_320_fpn": 320,
}

TIMM = """
resnet10t resnetv2_50 resnest14d res2net50_26w_4s sknet18:skresnet18 seresnet18:seresnet50 ecaresnet26t resnext26ts bat_resnext26ts eca_nfnet_l0 nfnet_l0 dm_nfnet_f0
regnetx_002 regnety_002 regnetz_b16 densenet121 dla34 dpn48b vovnet:ese_vovnet19b_dw hardcorenas_a mobilenetv1_100 mobilenetv2_050 mobilenetv3_small_050 mobilenetv4_conv_small
efficientnet_b0 efficientnet_lite0 tf_efficientnetv2_b0 mixnet_s fbnetc_100 fbnetv3_b mnasnet_small lcnet_050 tinynet_e ghostnet_050 ghostnetv2_100
repvgg_a0 repghostnet_050 mobileone_s0 fastvit_t8 repvit_m0_9 edgenext_xx_small mobilevit_xxs mobilevitv2_050 convnext_atto convnextv2_atto inception_next_tiny
convmixer_768_32 hgnet_tiny hgnetv2_b0 cspresnet50 cspdarknet53 darknet53 xception41 inception_v3 inception_v4 inception_resnet_v2 selecsls42 tresnet_m vgg11 hrnet_w18_small
rexnet_100 gernet_s visformer_tiny starnet_s1 focalnet_tiny_srf poolformer_s12 caformer_s18 vanillanet:tiny_vit_5m_224
vit_tiny_patch16_224 deit_tiny_patch16_224 cait_xxs24_224 xcit_nano_12_p16_224 pit_ti_224 levit_128s crossvit_tiny_240 coat_tiny convit_tiny
swin_tiny_patch4_window7_224 swinv2_cr_tiny_ns_224 twins_svt_small pvt_v2_b0 maxvit_rmlp_pico_rw_256 coatnet_nano_rw_224 nest_tiny gcvit_xxtiny davit_tiny
mixer_s32_224 resmlp_12_224 gmlp_ti16_224 beit_base_patch16_224 eva02_tiny_patch14_224 efficientformer_l1 efficientvit_b0 efficientvit_m0 sequencer2d_s volo_d1_224 hiera_tiny_224
botnet26t_256 coat_lite_tiny efficientnet_cc_b0_4e efficientvim_m1 ghostnetv3_050 iformer_t lambda_resnet26t shvit_s1 swiftformer_xs tf_mobilenetv3_small_minimal_100 xcit_tiny_12_p8_224
mambaout_femto nextvit_small rdnet_tiny fasternet_t0 tnt_s_legacy_patch16_224 halonet26t legacy_seresnet18 vitamin_small_224 efficientformerv2_s0 lamhalobotnet50ts_256 cs3darknet_s
gcresnext26ts mvitv2_tiny vit_small_patch14_dinov2 vit_small_patch16_dinov3 csatv2 convnext_zepto_rms_ols mobilenetv4_hybrid_medium maxxvitv2_nano_rw_256 hieradet_small vit_srelpos_small_patch16_224
naflexvit_base_patch16_gap samvit_base_patch16_224 vit_pe_core_tiny_patch16_384
""".split()


def torchvision_model(name):
    import torchvision

    module = torchvision.models
    kw = {"weights": None}
    if "." in name:
        part, name = name.split(".")
        module = getattr(module, part)
        kw["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        kw["init_weights"] = False
    return getattr(module, name)(**kw).eval()


IDS = 12  # integers of inputs are below: ids of words, and places in 12 of them


def transformer(name):
    import torch
    import transformers as tr

    ids = torch.randint(0, IDS, (1, 12))
    small = dict(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
    eager = dict(attn_implementation="eager")
    if name == "bert":
        return tr.BertModel(tr.BertConfig(**small, **eager)), (ids,), ["last_hidden_state"]
    if name == "distilbert":
        return tr.DistilBertModel(tr.DistilBertConfig(vocab_size=64, dim=32, n_layers=2, n_heads=4, hidden_dim=48, **eager)), (ids,), ["last_hidden_state"]
    if name == "roberta":
        return tr.RobertaModel(tr.RobertaConfig(**small, **eager)), (ids,), ["last_hidden_state"]
    if name == "gpt2":
        return tr.GPT2LMHeadModel(tr.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=32, use_cache=False, **eager)), (ids,), ["logits"]
    if name == "llama":
        return tr.LlamaForCausalLM(tr.LlamaConfig(**small, num_key_value_heads=2, use_cache=False, **eager)), (ids,), ["logits"]
    if name == "mixtral":
        return tr.MixtralForCausalLM(tr.MixtralConfig(**small, num_key_value_heads=2, num_local_experts=4, use_cache=False, experts_implementation="batched_mm", **eager)), (ids,), ["logits"]
    if name == "t5":
        return tr.T5EncoderModel(tr.T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)), (ids,), ["last_hidden_state"]
    if name == "vit":
        return tr.ViTModel(tr.ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=32, patch_size=8, **eager)), (torch.randn(1, 3, 32, 32),), ["last_hidden_state"]
    if name == "whisper":
        cfg = tr.WhisperConfig(d_model=32, encoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, decoder_ffn_dim=48, decoder_layers=1, encoder_ffn_dim=48, num_mel_bins=8, max_source_positions=20, vocab_size=64,
                               pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, **eager)
        return tr.WhisperModel(cfg).encoder, (torch.randn(1, 8, 40),), ["last_hidden_state"]
    if name == "electra":
        return tr.ElectraModel(tr.ElectraConfig(**small, embedding_size=16, **eager)), (ids,), ["last_hidden_state"]
    if name == "qwen2":
        return tr.Qwen2ForCausalLM(tr.Qwen2Config(**small, num_key_value_heads=2, use_cache=False, **eager)), (ids,), ["logits"]
    if name == "opt":
        return tr.OPTForCausalLM(tr.OPTConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48, word_embed_proj_dim=32, use_cache=False, **eager)), (ids,), ["logits"]
    if name == "deberta_v2":
        return tr.DebertaV2Model(tr.DebertaV2Config(**small, position_buckets=8, relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=16)), (ids,), ["last_hidden_state"]
    if name == "albert":
        return tr.AlbertModel(tr.AlbertConfig(**small, embedding_size=16, **eager)), (ids,), ["last_hidden_state"]
    if name == "xlm_roberta":
        return tr.XLMRobertaModel(tr.XLMRobertaConfig(**small, **eager)), (ids,), ["last_hidden_state"]
    if name == "mamba":
        return tr.MambaForCausalLM(tr.MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=4, time_step_rank=4, use_cache=False)), (ids,), ["logits"]
    if name in ("gemma", "gemma2", "phi", "phi3", "stablelm", "mistral", "olmo2", "granite", "cohere", "qwen3", "starcoder2", "smollm3"):
        kind = {"gemma": "Gemma", "gemma2": "Gemma2", "phi": "Phi", "phi3": "Phi3", "stablelm": "StableLm", "mistral": "Mistral", "olmo2": "Olmo2", "granite": "Granite", "cohere": "Cohere", "qwen3": "Qwen3", "starcoder2": "Starcoder2", "smollm3": "SmolLM3"}[name]
        more = {"head_dim": 8} if name in ("gemma", "gemma2", "qwen3") else {}
        return getattr(tr, kind + "ForCausalLM")(getattr(tr, kind + "Config")(**small, **more, num_key_value_heads=2, use_cache=False, pad_token_id=0, bos_token_id=1, eos_token_id=2, **eager)), (ids,), ["logits"]
    if name == "bloom":
        return tr.BloomForCausalLM(tr.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4, use_cache=False, **eager)), (ids,), ["logits"]
    if name == "falcon":
        return tr.FalconForCausalLM(tr.FalconConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, use_cache=False, **eager)), (ids,), ["logits"]
    if name == "gpt_neox":
        return tr.GPTNeoXForCausalLM(tr.GPTNeoXConfig(**small, use_cache=False, **eager)), (ids,), ["logits"]
    if name == "gptj":
        return tr.GPTJForCausalLM(tr.GPTJConfig(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=32, rotary_dim=4, use_cache=False, **eager)), (ids,), ["logits"]
    if name == "bart":
        return tr.BartModel(tr.BartConfig(vocab_size=64, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=32, use_cache=False, **eager)), (ids,), ["last_hidden_state"]
    picture = torch.randn(1, 3, 32, 32)
    vision = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=32, patch_size=8)
    if name == "clip_vision":
        return tr.CLIPVisionModel(tr.CLIPVisionConfig(**vision, projection_dim=16, **eager)), (picture,), ["last_hidden_state"]
    if name == "clip_text":
        return tr.CLIPTextModel(tr.CLIPTextConfig(**small, projection_dim=16, eos_token_id=11, **eager)), (ids,), ["last_hidden_state"]
    if name == "siglip_vision":
        return tr.SiglipVisionModel(tr.SiglipVisionConfig(**vision, **eager)), (picture,), ["last_hidden_state"]
    if name == "dinov2":
        return tr.Dinov2Model(tr.Dinov2Config(**vision, mlp_ratio=2, **eager)), (picture,), ["last_hidden_state"]
    if name == "deit":
        return tr.DeiTModel(tr.DeiTConfig(**vision, **eager)), (picture,), ["last_hidden_state"]
    if name == "sam_vision":
        return tr.SamVisionModel(tr.SamVisionConfig(**vision, output_channels=16, window_size=2, global_attn_indexes=[1], mlp_dim=48, **eager)), (picture,), ["last_hidden_state"]
    if name == "segformer":
        return tr.SegformerForSemanticSegmentation(tr.SegformerConfig(num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[16, 32], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, num_labels=5)), (picture,), ["logits"]
    if name == "wav2vec2":
        return tr.Wav2Vec2Model(tr.Wav2Vec2Config(**small, conv_dim=[16, 16], conv_stride=[5, 2], conv_kernel=[10, 3], num_feat_extract_layers=2, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, **eager)), (torch.randn(1, 400),), ["last_hidden_state"]
    if name == "hubert":
        return tr.HubertModel(tr.HubertConfig(**small, conv_dim=[16, 16], conv_stride=[5, 2], conv_kernel=[10, 3], num_feat_extract_layers=2, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, **eager)), (torch.randn(1, 400),), ["last_hidden_state"]
    if name == "detr":
        back = tr.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage4"])
        return tr.DetrForObjectDetection(tr.DetrConfig(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=back, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, num_queries=5, num_labels=3, **eager)), (torch.randn(1, 3, 64, 64),), ["logits"]
    raise KeyError(name)


TRANSFORMERS = ["bert", "distilbert", "roberta", "electra", "gpt2", "opt", "llama", "qwen2", "mixtral", "t5", "vit", "whisper", "deberta_v2", "albert", "xlm_roberta", "mamba", "gemma", "gemma2", "phi", "phi3",
                "stablelm", "mistral", "olmo2", "granite", "cohere", "qwen3", "starcoder2", "smollm3", "bloom", "falcon", "gpt_neox", "gptj", "bart", "clip_vision", "clip_text",
                "siglip_vision", "dinov2", "deit", "sam_vision", "segformer", "wav2vec2", "hubert", "detr"]


def small(name):
    """A family of pictures with a few channels."""
    import torch
    from timm.models import convnext, efficientnet, swin_transformer

    if name == "convnext":
        return convnext.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 12, 16, 24), num_classes=5), (torch.randn(1, 3, 64, 64),), ["y"]
    if name == "efficientnet":
        net = efficientnet._gen_efficientnet("efficientnet_b0", channel_multiplier=0.1, depth_multiplier=0.1, num_classes=5)
        return net, (torch.randn(1, 3, 64, 64),), ["y"]
    if name == "swin":
        net = swin_transformer.SwinTransformer(img_size=32, patch_size=4, window_size=4, embed_dim=12, depths=(2, 2), num_heads=(2, 2), num_classes=5)
        return net, (torch.randn(1, 3, 32, 32),), ["y"]
    return transformer(name)


SMALL = ["convnext", "efficientnet", "swin", "bert", "gpt2", "llama", "mixtral", "t5", "vit", "whisper"]


def bare(path):
    """Takes out what an exporter says of its own code."""
    import onnx

    m = onnx.load(path)
    for g in [m.graph, *m.functions]:
        for x in [g, *g.node, *g.value_info, *(list(g.input) + list(g.output) + list(g.initializer) if g is m.graph else [])]:
            del x.metadata_props[:]
            x.doc_string = ""
    del m.metadata_props[:]
    onnx.save(m, path)


def networks(kind, pixels):
    if kind == "torchvision":
        import torch

        for name, size in TORCHVISION.items():
            yield name, lambda name=name, size=size: (torchvision_model(name), (torch.randn(1, 3, size, size),), ["y"])
    elif kind == "timm":
        import timm
        import torch

        for name in TIMM:
            name = name.split(":")[-1]

            def make(name=name):
                for more in ({"img_size": pixels}, {}) if pixels else ():
                    try:
                        m, x = timm.create_model(name, pretrained=False, exportable=True, **more).eval(), torch.randn(1, 3, pixels, pixels)
                        m(x)
                        return m, (x,), ["y"]
                    except Exception:  # noqa: BLE001 takes pictures of its own side only
                        continue
                m = timm.create_model(name, pretrained=False, exportable=True)
                size = m.pretrained_cfg.get("input_size", (3, 224, 224))
                fixed = m.pretrained_cfg.get("fixed_input_size", False) or any(s in name for s in ("vit", "former", "deit", "mixer", "mlp", "swin"))
                return m, (torch.randn(1, 3, *(size[1:] if fixed or pixels else (96, 96))),), ["y"]

            yield name, make
    elif kind == "small":
        for name in SMALL:
            yield name, lambda name=name: small(name)
    else:
        for name in TRANSFORMERS:
            yield name, lambda name=name: transformer(name)


def record(path, model, inputs):
    """Saves inputs and the first output beside a file."""
    import torch

    with torch.no_grad():
        y = model(*inputs)
    y = y if torch.is_tensor(y) else y[0]
    np.savez(path[: -len(".onnx")], *[x.numpy() for x in inputs], y=y.numpy())


def calibrate(model, inputs):
    """Batch normalisations take the statistics of 16 random inputs."""
    import torch

    for m in model.modules():
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm):
            m.reset_running_stats()
            m.momentum = None  # the mean of all batches
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(*(torch.randn(8, *x.shape[1:]) for x in inputs))
    model.eval()


def export(args):
    import torch

    os.makedirs(args.dir, exist_ok=True)
    failed = []
    for name, make in networks(args.kind, args.pixels):
        if args.only and name not in args.only.split(","):
            continue
        for exporter in args.exporter.split(","):
            path = os.path.join(args.dir, f"{name.replace('.', '_')}_{exporter}{'_double' * args.double}{'_calibrated' * args.calibrate}.onnx")
            if os.path.exists(path):
                continue
            torch.manual_seed(0)
            try:
                with warnings.catch_warnings(), open(os.devnull, "w") as null:
                    warnings.simplefilter("ignore")
                    stdout, sys.stdout = sys.stdout, null
                    try:
                        model, inputs, outputs = make()
                        model.eval()
                        for k, w in model.named_parameters():  # zeros would hide what is before them
                            if not w.any() and (w.dim() >= 2 or k.endswith(("weight", "gamma"))):
                                torch.nn.init.normal_(w, mean=0 if w.dim() >= 2 else 0.5, std=0.02)
                        if args.calibrate:
                            calibrate(model, inputs)
                        if args.double:
                            model, inputs = model.double(), tuple(x.double() if x.is_floating_point() else x for x in inputs)
                            record(path, model, inputs)
                        if exporter == "dynamo":
                            torch.onnx.export(model, inputs, path, dynamo=True, external_data=False)
                        else:
                            torch.onnx.export(model, inputs, path, dynamo=False, input_names=["x"], opset_version=17)
                        if args.kind == "small":
                            bare(path)
                    finally:
                        sys.stdout = stdout
                print(f"{path}: {os.path.getsize(path) / 1e6:.1f} MB", flush=True)
            except Exception as e:  # an exporter that cannot is no fault of the file's reader
                failed.append(path)
                print(f"{path}: not exported: {type(e).__name__}: {str(e).splitlines()[0][:120] if str(e) else ''}", flush=True)
    print(f"{len(failed)} not exported")


def check(args):
    failed, rows = 0, []
    for f in sorted(os.listdir(args.dir)):
        if not f.endswith(".onnx") or args.only and not any(o in f for o in args.only.split(",")):
            continue
        path, limits = os.path.join(args.dir, f), judge.Limits(seconds=args.seconds)
        double = f.endswith("_double.onnx")
        tolerance = judge.precision(path) if double else judge.TOLERANCE
        v = judge.judge(args.relupath, path, highest=IDS, limits=limits, tolerance=tolerance, norms=True)
        if double and v.unlike and not v.fault:  # what ONNX Runtime does not run
            v.unlike, (v.error, v.fault) = "", judge.recorded(args.relupath, path, np.load(path[:-5] + ".npz"), limits, tolerance)
        failed += bool(v.fault)
        rows.append((f[:-5], v))
        print(f"{'FAIL' if v.fault else 'ok  '} {f}: {v.layers} layers, {v.segments} segments, {v.seconds:.1f} s, {v.words()}", flush=True)
    print(f"{len(rows)} files, {failed} failed")
    if args.markdown:
        with open(args.markdown, "w") as out:
            judge.table(out, rows)
    return 1 if failed else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="command", required=True)
    e = sub.add_parser("export")
    e.add_argument("dir")
    e.add_argument("kind", choices=["torchvision", "timm", "transformers", "small"])
    e.add_argument("--only", default="")
    e.add_argument("--exporter", default="ts,dynamo")
    e.add_argument("--calibrate", action="store_true", help="statistics of batch normalisations are those of random inputs")
    e.add_argument("--pixels", type=int, default=0, help="side of timm's pictures, where it can be built for it or takes any (default: 96 where it takes any)")
    e.add_argument("--double", action="store_true", help="float64, with PyTorch's outputs")
    c = sub.add_parser("check")
    c.add_argument("dir")
    c.add_argument("--relupath", default="relupath")
    c.add_argument("--only", default="")
    c.add_argument("--markdown", default="")
    c.add_argument("--seconds", type=int, default=600, help="limit of one command")
    args = p.parse_args()
    if args.command == "export":
        export(args)
        return 0
    return check(args)


if __name__ == "__main__":
    sys.exit(main())
