// Package outfile writes files that are whole or not there, whatever ends the
// process, and locks the folders that one process at a time may work in.
//
// What is written lies in a hidden folder beside the output, a [Draft], until it
// is renamed into place. A process that is killed leaves its draft behind; the
// next one that makes a draft in the same folder removes it. It never removes
// that of a living process: each draft holds a lock that ends with its process,
// and drafts of another machine, whose locks may not be seen here, are left alone
// until a week after their last change.
package outfile
