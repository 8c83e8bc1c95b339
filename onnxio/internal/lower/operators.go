package lower

import (
	"math"
	"strings"
	"sync"

	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// operators holds what can be lowered: by domain, then by operator. Operators
// that are known and refused stand here too, with the reason. Each has the forms
// that its operator sets allow.
// They are put together when they are first asked for.
var operators = sync.OnceValue(table)

func table() map[string]map[string]*operator {
	all := map[string]map[string]*operator{"": {}, "ai.onnx.ml": {}, "com.microsoft": {}}
	add := func(domain string, parts ...map[string]lowerer) {
		for _, m := range parts {
			for name, f := range m {
				all[domain][name] = &operator{lower: f}
			}
		}
	}
	add("", homogeneousOperators, functionOperators, signalOperators, normalizers, refusedOperators)
	add("ai.onnx.ml", mlOperators)
	add("com.microsoft", microsoftOperators)
	for line := range strings.Lines(schemas) {
		of, rest, _ := strings.Cut(line, " ")
		name, rest, _ := strings.Cut(rest, " ")
		if o := all[wire.Domain(of)][name]; o != nil {
			o.lines = append(o.lines, rest)
		}
	}
	return all
}

// homogeneousOperators are those of the standard domain that a network can
// consist of, as far as their operands allow.
var homogeneousOperators = map[string]lowerer{
	// Linear layers.
	"BatchNormalization": ofFirst(lowerBatchNormalization),
	"Conv":               lowerConv,
	"ConvTranspose":      lowerConvTranspose,
	"Einsum":             lowerEinsum,
	"Gemm":               lowerGemm,
	"MatMul":             ofTwo(lowerMatMul),

	// Quantised forms of them.
	"ConvInteger":           ofTwo(lowerConvInteger),
	"DequantizeLinear":      ofFirst(lowerDequantizeLinear),
	"DynamicQuantizeLinear": lowerDynamicQuantizeLinear,
	"MatMulInteger":         ofTwo(lowerMatMulInteger),
	"QLinearConv":           lowerQLinearConv,
	"QLinearMatMul":         ofFirst(lowerQLinearMatMul),
	"QuantizeLinear":        ofFirst(lowerQuantizeLinear),

	// Sums and scales.
	"Add":  addition(1),
	"Div":  ofPair(lowerDiv),
	"Mean": lowerMean,
	"Mul":  ofPair(lowerMul),
	"Neg":  ofFirst(lowerNeg),
	"Sub":  addition(-1),
	"Sum":  lowerSum,

	// Activations.
	"Abs":             lowerAbs,
	"Clip":            ofFirst(lowerClip),
	"LeakyRelu":       lowerLeakyRelu,
	"Max":             lowerMax,
	"Min":             lowerMin,
	"PRelu":           ofFirst(lowerPRelu),
	"Relu":            lowerRelu,
	"ThresholdedRelu": lowerThresholdedRelu,

	// Early ones.
	"Affine":      lowerAffineOf,
	"ImageScaler": lowerImageScaler,
	"Scale":       lowerScale,

	// Pools and reductions.
	"AveragePool":       ofPooled(lowerAveragePool),
	"GlobalAveragePool": ofPooled(lowerGlobalAveragePool),
	"GlobalMaxPool":     ofPooled(lowerGlobalMaxPool),
	"MaxPool":           ofPooled(lowerMaxPool),
	"ReduceL1":          lowerReduce,
	"ReduceMax":         lowerReduce,
	"ReduceMean":        lowerReduce,
	"ReduceMin":         lowerReduce,
	"ReduceSum":         lowerReduce,

	// Rearrangements.
	"Cast":            ofFirst(lowerCast),
	"CastLike":        ofTwo(lowerCastLike),
	"CenterCropPad":   ofActivation(lowerCenterCropPad),
	"Col2Im":          ofActivation(lowerCol2Im),
	"Concat":          lowerConcat,
	"DepthToSpace":    lowerDepthToSpace,
	"Dropout":         ofFirst(lowerDropout),
	"Expand":          ofFirst(lowerExpand),
	"Flatten":         ofFirst(lowerFlatten),
	"Gather":          ofTwo(lowerGather),
	"GatherElements":  ofTwo(lowerGatherElements),
	"GatherND":        ofTwo(lowerGatherND),
	"Identity":        lowerIdentity,
	"Pad":             ofFirst(lowerPad),
	"Reshape":         ofFirst(lowerReshape),
	"Resize":          ofActivation(lowerResize),
	"Scatter":         ofThree(lowerScatterElements), // its name before opset 11
	"ScatterElements": ofThree(lowerScatterElements),
	"ScatterND":       ofThree(lowerScatterND),
	"Slice":           ofFirst(lowerSlice),
	"SpaceToDepth":    lowerSpaceToDepth,
	"Split":           ofFirst(lowerSplit),
	"Squeeze":         ofFirst(lowerSqueeze),
	"Tile":            ofFirst(lowerTile),
	"Transpose":       ofFirst(lowerTranspose),
	"Trilu":           ofFirst(lowerTrilu),
	"Unsqueeze":       ofFirst(lowerUnsqueeze),
	"Upsample":        ofActivation(lowerResize),

	// Constants and shapes.
	"Constant":        lowerConstant,
	"ConstantOfShape": lowerConstantOfShape,
	"EyeLike":         ofFirst(lowerEyeLike),
	"Range":           lowerRange,
	"Shape":           ofFirst(lowerShape),
	"Size":            ofFirst(lowerSize),
}

// functionOperators are those of the standard domain that become functions.
var functionOperators = map[string]lowerer{
	"Acos":               curve("it is a curve", math.Acos),
	"Acosh":              curve("it is a curve", math.Acosh),
	"And":                ofPair(lowerPair),
	"ArgMax":             placing(func(a, b float64) bool { return a > b }),
	"ArgMin":             placing(func(a, b float64) bool { return a < b }),
	"Asin":               curve("it is a curve", math.Asin),
	"Asinh":              curve("it is a curve", math.Asinh),
	"Attention":          lowerAttention,
	"Atan":               curve("it is a curve", math.Atan),
	"Atanh":              curve("it is a curve", math.Atanh),
	"Ceil":               curve("it rounds", math.Ceil),
	"Celu":               head("it is an exponential below 0", celu),
	"Cos":                curve("it is a curve", math.Cos),
	"Cosh":               curve("it is a curve", math.Cosh),
	"CumProd":            prefixes("it multiplies prefixes", 1, func(s, x float64) float64 { return s * x }),
	"CumSum":             prefixes("it sums prefixes", 0, func(s, x float64) float64 { return s + x }),
	"DeformConv":         lowerDeformConv,
	"Det":                ofFirst(lowerDet),
	"Elu":                head("it is an exponential below 0", elu),
	"Equal":              ofPair(lowerPair),
	"Erf":                curve("it is a curve", math.Erf),
	"Exp":                lowerExp,
	"Floor":              curve("it rounds", math.Floor),
	"Gelu":               head("it is a curve", gelu),
	"GlobalLpPool":       ofPooled(lowerLpPool),
	"Greater":            ofPair(lowerPair),
	"GRU":                recurrentLayer(3, []string{"Sigmoid", "Tanh"}, stepGRU),
	"GreaterOrEqual":     ofPair(lowerPair),
	"HardSigmoid":        head("it is bounded", hardSigmoid),
	"HardSwish":          curve("it is quadratic near 0", hardSwish),
	"Hardmax":            normalizer("it gives 0 or 1", hardmax),
	"If":                 nil, // dispatch takes its branch
	"IsInf":              lowerIsInf,
	"IsNaN":              predicate("it gives a truth value", math.IsNaN),
	"LSTM":               recurrentLayer(4, []string{"Sigmoid", "Tanh", "Tanh"}, stepLSTM),
	"Less":               ofPair(lowerPair),
	"LessOrEqual":        ofPair(lowerPair),
	"Log":                curve("it is a logarithm", math.Log),
	"LpPool":             ofPooled(lowerLpPool),
	"LogSoftmax":         normalizer("it is a logarithm of a sum of exponentials", logSoftmax),
	"Mish":               curve("it is a curve", mish),
	"Mod":                ofPair(lowerMod),
	"NonZero":            lowerNonZero,
	"Not":                predicate("it gives a truth value", not),
	"OneHot":             ofFirst(lowerOneHot),
	"Or":                 ofPair(lowerPair),
	"ParametricSoftplus": head("it is a logarithm of a sum of exponentials", parametricSoftplus),
	"Pow":                ofPair(lowerPow),
	"RNN":                recurrentLayer(1, []string{"Tanh"}, stepRNN),
	"Reciprocal":         ofFirst(lowerReciprocal),
	"ReduceL2":           lowerReduce,
	"ReduceLogSum":       lowerReduce,
	"ReduceLogSumExp":    lowerReduce,
	"ReduceProd":         lowerReduce,
	"ReduceSumSquare":    lowerReduce,
	"RotaryEmbedding":    rotary(1, 2, 3),
	"Round":              curve("it rounds", math.RoundToEven),
	"ScaledTanh":         head(boundedReason, scaledTanh),
	"Selu":               head("it is an exponential below 0", selu),
	"Shrink":             head("it has a threshold", shrink),
	"Sigmoid":            curve("it is bounded", sigmoid),
	"Sign":               curve("it is homogeneous of degree 0", sign),
	"Sin":                curve("it is a curve", math.Sin),
	"Sinh":               curve("it is a curve", math.Sinh),
	"Softmax":            normalizer("it is a ratio of exponentials", softmax),
	"Softplus":           curve("it is a logarithm of a sum of exponentials", softplus),
	"Softsign":           curve("it is bounded", func(x float64) float64 { return x / (1 + math.Abs(x)) }),
	"Sqrt":               lowerSqrt,
	"SwiGLU":             ofTwo(lowerSwiGLU),
	"Swish":              head("it is a curve", swish),
	"Tan":                curve("it is a curve", math.Tan),
	"Tanh":               curve("it is bounded", math.Tanh),
	"TopK":               ofFirst(lowerTopK),
	"Where":              ofThree(lowerWhere),
	"Xor":                ofPair(lowerPair),

	// Integers as bits.
	"BitShift":   ofPair(lowerBitShift),
	"BitwiseAnd": ofPair(lowerPair),
	"BitwiseNot": ofFirst(lowerBitwiseNot),
	"BitwiseOr":  ofPair(lowerPair),
	"BitwiseXor": ofPair(lowerPair),
}

// signalOperators transform signals, sample pictures and measure losses.
var signalOperators = map[string]lowerer{
	"AffineGrid":                ofFirst(lowerAffineGrid),
	"BlackmanWindow":            cosineWindow(0.42, 0.5, 0.08),
	"DFT":                       ofFirst(lowerDFT),
	"GridSample":                ofTwo(lowerGridSample),
	"HammingWindow":             cosineWindow(25.0/46, 21.0/46, 0),
	"HannWindow":                cosineWindow(0.5, 0.5, 0),
	"MaxRoiPool":                lowerMaxRoiPool,
	"MaxUnpool":                 ofTwo(lowerMaxUnpool),
	"NegativeLogLikelihoodLoss": ofFirst((*op).likelihood),
	"ReverseSequence":           ofTwo(lowerReverseSequence),
	"RoiAlign":                  lowerRoiAlign,
	"STFT":                      ofFirst(lowerSTFT),
	"SoftmaxCrossEntropyLoss":   ofFirst(lowerSoftmaxCrossEntropyLoss),
	"TensorScatter":             ofTwo(lowerTensorScatter),
}

// normalizers divide by a norm of their own operand.
var normalizers = map[string]lowerer{
	"GroupNormalization":           ofActivation(lowerGroupNormalization),
	"InstanceNormalization":        ofActivation(lowerInstanceNormalization),
	"LRN":                          ofFirst(lowerLRN),
	"LayerNormalization":           layerNormalization(1, 2, 1e-5, meanVariance),
	"LpNormalization":              lowerLpNormalization,
	"MeanVarianceNormalization":    ofActivation(lowerMeanVarianceNormalization),
	"RMSNormalization":             layerNormalization(1, -1, 1e-5, rootMeanSquare),
	"SimplifiedLayerNormalization": layerNormalization(1, -1, 1e-5, rootMeanSquare),
}

// refusedOperators are known to be no part of a network, with the reason.
var refusedOperators = map[string]lowerer{
	"Loop":              refused("it is a loop", "export a traced model without control flow"),
	"RandomNormal":      random,
	"RandomNormalLike":  random,
	"RandomUniform":     random,
	"RandomUniformLike": random,
	"Scan":              refused("it is a loop", "export a traced model without control flow"),
}

var mlOperators = map[string]lowerer{
	"ArrayFeatureExtractor": ofTwo(lowerArrayFeatureExtractor),
	"Binarizer":             lowerBinarizer,
	"Imputer":               ofFirst(lowerImputer),
	"LinearClassifier":      lowerLinearClassifier,
	"LinearRegressor":       lowerLinearRegressor,
	"LabelEncoder":          lowerLabelEncoder,
	"Normalizer":            ofFirst(lowerNormalizer),
	"OneHotEncoder":         ofFirst(lowerOneHotEncoder),
	"Scaler":                ofFirst(lowerScaler),
	"ZipMap":                lowerIdentity, // the numbers, in the order of their labels
}

var microsoftOperators = map[string]lowerer{
	"FusedConv":       lowerFusedConv,
	"FusedGemm":       lowerFusedGemm,
	"FusedMatMul":     lowerFusedMatMul,
	"TransposeMatMul": lowerFusedMatMul, // its name before
	"Gelu":            head("it is a curve", gelu),

	"Attention":           lowerMicrosoftAttention,
	"BiasGelu":            withBias("it is a curve", exactGelu),
	"FastGelu":            withBias("it is a curve", fastGelu),
	"MultiHeadAttention":  lowerMultiHeadAttention,
	"GroupQueryAttention": lowerGroupQueryAttention,
	"DynamicQuantizeLSTM": lowerDynamicQuantizeLSTM,
	"QAttention":          lowerQAttention,

	"EmbedLayerNormalization": ofActivation(lowerEmbedLayerNormalization),
	"GatherBlockQuantized":    lowerGatherBlockQuantized,
	"QuickGelu":               head("it is a curve", quickGelu),
	"RotaryEmbedding":         rotary(2, 3, 1),
	"Trilu":                   ofFirst(lowerTrilu),

	"DequantizeLinear":         ofFirst(lowerDequantizeLinear),
	"DynamicQuantizeMatMul":    lowerDynamicQuantizeMatMul,
	"MatMulIntegerToFloat":     ofFirst(lowerMatMulIntegerToFloat),
	"QEmbedLayerNormalization": lowerQEmbedLayerNormalization,
	"QLinearWhere":             ofFirst(lowerQLinearWhere),
	"MatMulNBits":              ofActivation(lowerMatMulNBits),
	"QGemm":                    lowerQGemm,
	"QLinearAdd":               quantisedPair(addition(1), "Add"),
	"QLinearAveragePool":       quantisedOne(ofPooled(lowerAveragePool), "AveragePool"),
	"QLinearConcat":            lowerQLinearConcat,
	"QLinearGlobalAveragePool": quantisedOne(ofPooled(lowerGlobalAveragePool), "GlobalAveragePool"),
	"QLinearLeakyRelu":         quantisedOne(lowerLeakyRelu, "LeakyRelu"),
	"QLinearMul":               quantisedPair(ofPair(lowerMul), "Mul"),
	"QLinearSoftmax":           ofActivation(lowerQLinearSoftmax),
	"QLinearSigmoid":           quantisedOne(lowerSigmoid, "Sigmoid"),
	"QuantizeLinear":           ofFirst(lowerQuantizeLinear),

	"SkipLayerNormalization":           ofActivation(lowerSkipNormalization),
	"SkipSimplifiedLayerNormalization": ofActivation(lowerSkipNormalization),
}

// refused makes a lowerer that says why an operator is not supported.
func refused(reason, remedy string) lowerer {
	return func(*op) error { return refusal.New(remedy, "%s", reason) }
}

var random = refused("it draws random numbers", "export the model in evaluation mode")
