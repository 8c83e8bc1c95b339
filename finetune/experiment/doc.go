// Package experiment repeats the experiments of the papers that relupath is built
// on, and says which of their claims hold in the repetition.
//
//	lab := &experiment.Lab{Dir: "mnist", Train: train, Test: test}
//	report, err := experiment.Optimizers(ctx, lab, experiment.OptimizersOptions{Width: 1000})
//
// An experiment is a set of trainings, each described by a Training. The Lab
// runs them side by side, one thread each, and keeps a Record of every finished
// one in its folder under a hash of its description; a training in progress
// keeps a checkpoint there. An experiment that was interrupted, or that is asked
// for more epochs, seeds or rates later, does only what is missing. The Report
// is computed from the records alone: curves with bands over seeds, tables,
// and claims with verdicts. Nothing here prints or draws.
//
//   - Optimizers: Path-SGD against SGD and AdaGrad from balanced and unbalanced
//     starts. Neyshabur, Salakhutdinov, Srebro, Path-SGD, NeurIPS 2015, section 5.
//   - Width: one hidden layer of growing width without explicit
//     regularisation. Neyshabur, Tomioka, Srebro, In search of the real inductive
//     bias, ICLR workshop 2015.
//   - Invariance: trajectories of rescaling equivalent starts, and two weights in
//     a row. Neyshabur, Salakhutdinov, Srebro, as above, section 2.
//   - Balance: does balancing before fine-tuning help.
package experiment
