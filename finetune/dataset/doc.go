// Package dataset reads labelled examples from the files that papers and
// tools use, and hands them out as rows of a batch.
//
// A data spec names the format, the files and the options:
//
//	mnist:DIR           IDX files with the official names, gzip or not
//	idx:IMAGES,LABELS   any pair of IDX files
//	cifar10:DIR         binary records of 1 + 3072 bytes: train*.bin or
//	                    data_batch*.bin, and test*.bin
//	cifar100:DIR        binary records of 2 + 3072 bytes; the fine label counts
//	svhn:FILE.mat       MATLAB 5 file with X (32,32,3,N) and y; label 10 is digit 0
//	npz:FILE            arrays x and y, or x_train, y_train, x_test, y_test
//	npy:X,Y             two NumPy arrays
//	csv:FILE            one example a line, gzip or not
//
// followed by options, separated by commas:
//
//	split=train|test    mnist, cifar10, cifar100, npz; the default is the caller's
//	limit=N             the first N examples only
//	scale=S             factor of every value, a number or a fraction; 1/255 by
//	                    default where values are stored as unsigned bytes
//	                    (pixels), 1 elsewhere and for csv
//	mean=M, std=D       (scale*value - M) / D; one number, or one a channel
//	                    joined by / or ; as in mean=0.49/0.48/0.45
//	transpose           swap the layouts channel-height-width and
//	                    height-width-channel; transpose=chw and transpose=hwc
//	                    name the layout wanted where the shape does not tell
//	split=SHARE:SEED    csv, npy, npz: a share of the examples to train on, drawn at random,
//	                    the others to test on; :train or :test behind it names the part
//	split=by:COL        csv: a column that says train or test of each example; :train or
//	                    :test behind it names the part
//	label=COL           csv: the label's column, by name or by index from 0 (negative
//	                    from the end), the last one by default; of several targets
//	                    label=A;B
//	x=NAME, y=NAME      npz: the arrays of examples and of labels, where they have other names
//	drop=A;B            csv: columns that are no features, by name or index
//	sep=CHARACTER       csv: what stands between fields, or tab, space, comma
//	header              csv: the first line is a header
//	classes=A;B;C       the classes in the order of their numbers, by name or by
//	                    number; a semicolon inside a name is written twice
//	task=class|regression
//	                    csv, npy, npz: what the labels are, see below
//
// A comma inside a path or a name is written twice.
//
// # Labels
//
// The pixel formats are classification tasks. In csv, npy and npz task= says
// what the labels are; without it, the data do:
//
//	texts, all whole numbers in 0..65535        class labels as they stand
//	texts, all numbers, others among them       regression targets
//	other texts                                 classes, numbered in sorted order
//	array of integers or booleans, (N) or (N,1) class labels as they stand; other integers than
//	                                            0..65535 only by a list of classes
//	other arrays, (N), (N,1) or (N,K)           K regression targets an example
//
// Texts are the labels of a csv file, and those of NumPy's types U and S, without the spaces
// around them. With task=class, texts that are other numbers become classes in
// increasing order. Numbering what a file happens to hold is right only for a file
// with every class: classes= or Set.WithClasses gives the order, and a test set has
// that of the training set in Options.Like. A label that is not in a given order is
// an error. Labels of a given order may be any numbers, -1 and 1 or floating-point
// arrays too.
//
// # Layout
//
// Images are channel-height-width, also those of SVHN, whose file is column
// major. Arrays keep the layout of their file.
//
// # Memory
//
// Values are kept as the file has them, one byte a pixel, and are scaled while
// a batch is written. No size that a file declares is allocated before the
// file's own size has been found to allow it. What packed files (gzip, npz, compressed
// MATLAB variables) unpack to, and what is kept of a csv file, may take a quarter of
// the memory (of the machine, of the control group, or GOMEMLIMIT, whichever is
// least): more is an error. A csv file streams: with limit=N only the numbers of N
// examples are kept, and of the others the labels, which say what the classes are. A
// line may have 64 MiB.
//
// # Errors
//
// A spec that cannot be understood gives a *SpecError, a file that cannot be
// used a *DataError. Records and columns count from 0, lines of a csv file
// from 1.
package dataset
