// Package finetune continues the training of a network in the geometry of its
// paths and gives it back with new weights.
//
//	t, err := finetune.New(net, train, finetune.Options{Test: test})
//	res, err := t.Run(ctx)
//	err = model.WriteFile("tuned.onnx", res.Net, onnxio.WriteOptions{})
//
// A Trainer works on a copy of the network's stored tensors, in float64 where
// one of them is float64 and in float32 otherwise. The preamble runs as part of
// the network, frozen; the value that enters the head (or the output) is the
// logits that feed the loss; BatchNormalization runs in its evaluation form,
// with trained scale and shift and frozen statistics. Shared tensors stay
// shared: their gradient and their kappa are sums over the uses.
//
// Path-SGD (Neyshabur, Salakhutdinov, Srebro, NeurIPS 2015) steps along
// g/kappa, where kappa(u->v) = (g_in(u) g_out(v))^(2/p) is computed afresh at
// every step; it does not change when the units of the network are rescaled.
// Started from networks that are equivalent by power-of-two factors, path-sgd
// and path-adagrad of order 1 and 2 give bit-identical losses, as long as
// nothing over- or underflows; by other factors, losses that agree to the
// growth of rounding errors.
//
// Runs are deterministic: the same network, data, options, number of threads
// and BLAS give the same bits, whether or not the run was interrupted and
// resumed from its checkpoint.
package finetune
