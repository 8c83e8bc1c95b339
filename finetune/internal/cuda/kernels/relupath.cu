// The kernels of an engine's operations, of optimizers and of path programmes.
// The build compiles them for each type of numbers: real is the type, K(name) the
// kernel's name with the type. size is the number of threads, mostly one for each
// element of the result. Sums over examples run in order, as on the host, and no
// product is fused with a sum, so that both round alike.

#define THREAD \
	int i = blockIdx.x * blockDim.x + threadIdx.x; \
	if (i >= size) return;
#define KERNEL(name) extern "C" __global__ void K(name)

// stage adds a vector of one number a unit, coef times theta, or multiplies by it.
struct stage {
	const real *theta;
	const int *index;
	const double *coef;
	long long length, coefs, mul;
};

static __device__ double coef(const stage *s, int u) { return s->coef[s->coefs == 1 ? 0 : u]; }

static __device__ double at(const stage *s, int u) {
	double c = coef(s, u);
	if (s->theta) c *= (double)s->theta[s->index ? s->index[u] : s->length == 1 ? 0 : u];
	return c;
}

// up_to is what the first stages come to for unit u: a x + c.
static __device__ void up_to(const stage *s, int stages, int u, double *a, double *c) {
	*a = 1, *c = 0;
	for (int k = 0; k < stages; k++) {
		double v = at(&s[k], u);
		if (s[k].mul) *a *= v, *c *= v;
		else *c += v;
	}
}

// Operations on units: n of them, each of inner neighbours.

KERNEL(units)(real *dst, const real *src, const real *mask, const stage *s, int stages, int n, int inner, int act, double slope, int size) {
	THREAD
	double a, c;
	up_to(s, stages, i / inner % n, &a, &c);
	real z = src[i] * (real)a + (real)c;
	if (act && z <= 0) z = slope == 0 ? 0 : z * (real)slope;
	dst[i] = mask ? z * mask[i] : z;
}

KERNEL(gate)(real *dst, const real *dy, const real *y, const real *mask, double slope, int size) {
	THREAD
	real d = mask ? dy[i] * mask[i] : dy[i];
	if (y[i] <= 0) d = slope == 0 ? 0 : d * (real)slope;
	dst[i] = d;
}

KERNEL(units_dx)(real *dst, const real *dy, const stage *s, int stages, int n, int inner, int size) {
	THREAD
	double a, c;
	up_to(s, stages, i / inner % n, &a, &c);
	dst[i] = (real)a * dy[i];
}

// Sums over the elements of each unit, of dz and of dz x, in lanes parts.
KERNEL(unit_parts)(double *part, const real *dz, const real *x, int n, int inner, int each, int lanes, int size) {
	THREAD
	int u = i % n;
	double s = 0, sx = 0;
	for (int k = i / n; k < each; k += lanes) {
		int e = (k / inner * n + u) * inner + k % inner;
		s += dz[e];
		if (x) sx += (double)dz[e] * x[e];
	}
	part[i] = s;
	if (x) part[size + i] = sx;
}

KERNEL(unit_sums)(real *dst, const double *part, int n, int lanes, int size) {
	THREAD
	double s = 0;
	for (int k = 0; k < lanes; k++) s += part[(i / n * lanes + k) * n + i % n];
	dst[i] = s;
}

// The derivative by the tensor of stage j, whose element i serves the units
// list[start[i]:start[i+1]].
KERNEL(stage_grad)(real *dst, const real *sums, const stage *s, int j, int stages, int n, const int *start, const int *list, int add, int size) {
	THREAD
	real sum = add ? dst[i] : 0;
	for (int t = start[i]; t < start[i + 1]; t++) {
		int u = list[t];
		double a, c, m, rest, g = sums[u];
		up_to(s, j, u, &a, &c);
		up_to(s + j + 1, stages - j - 1, u, &m, &rest);
		if (s[j].mul) g = a * sums[n + u] + c * g;
		sum += (real)(coef(&s[j], u) * m * g);
	}
	dst[i] = sum;
}

KERNEL(activate)(real *dst, const real *src, const real *z, const real *mask, const stage *s, int n, int inner, int size) {
	THREAD
	real d = src[i];
	if (z[i] <= 0) d *= (real)at(s, i / inner % n);
	dst[i] = mask ? d * mask[i] : d;
}

// The derivative by slopes: element i serves the positions list[start[i]:start[i+1]]
// of each example.
KERNEL(slopes)(real *dst, const real *dy, const real *z, const real *mask, const int *start, const int *list, int width, int examples, int add, int size) {
	THREAD
	real sum = add ? dst[i] : 0;
	for (int r = 0; r < examples; r++) {
		for (int t = start[i]; t < start[i + 1]; t++) {
			int e = r * width + list[t];
			if (z[e] > 0) continue;
			real d = dy[e] * z[e];
			sum += mask ? d * mask[e] : d;
		}
	}
	dst[i] = sum;
}

// Dropout: PCG-DXSM with the state (seed, step), sixteen bits a number, a thread
// for four of them.
KERNEL(drop)(real *mask, unsigned long long seed, unsigned long long step, int limit, double keep, int n, int size) {
	THREAD
	typedef unsigned __int128 word;
	word state = (word)seed << 64 | step;
	word mul = (word)2549297995355413924ull << 64 | 4865540595714422341ull, inc = (word)6364136223846793005ull << 64 | 1442695040888963407ull;
	for (unsigned k = i + 1; k; k >>= 1) { // as many draws at once
		if (k & 1) state = state * mul + inc;
		inc *= mul + 1;
		mul *= mul;
	}
	unsigned long long hi = state >> 64, lo = state;
	hi ^= hi >> 32;
	hi *= 0xda942042e4dd58b5ull;
	hi ^= hi >> 48;
	hi *= lo | 1;
	for (int k = 4 * i; k < n && k < 4 * i + 4; k++, hi >>= 16) mask[k] = (int)(hi & 0xffff) < limit ? 0 : (real)keep;
}

// Wiring.

KERNEL(combine)(real *dst, const real *x, const real *y, double sx, double sy, int size) {
	THREAD dst[i] = y ? (real)sx * x[i] + (real)sy * y[i] : (real)sx * x[i];
}

// Columns of rows: m from src_at on become those from dst_at on.
KERNEL(strip)(real *dst, const real *src, int dst_width, int dst_at, int src_width, int src_at, int m, int size) {
	THREAD dst[i / m * dst_width + dst_at + i % m] = src[i / m * src_width + src_at + i % m];
}

// Element o of each row is the sum of elements list[start[o]:start[o+1]] of the
// operand's, each times its weight.
KERNEL(gather)(real *dst, const real *src, const int *start, const int *list, const double *weight, int k, int m, int add, int size) {
	THREAD
	int o = i % k;
	real sum = add ? dst[i] : 0;
	for (int t = start[o]; t < start[o + 1]; t++) {
		real x = src[i / k * m + list[t]];
		sum += weight ? (real)weight[t] * x : x;
	}
	dst[i] = sum;
}

KERNEL(largest)(real *dst, int *which, const real *src, const int *start, const int *list, int k, int m, int size) {
	THREAD
	int o = i % k, best = -1;
	const real *x = src + i / k * m;
	for (int t = start[o]; t < start[o + 1]; t++) {
		int j = list[t];
		if (best < 0 || x[j] > x[best] || x[j] != x[j]) best = j;
	}
	which[i] = best;
	dst[i] = best < 0 ? 0 : x[best];
}

// Its derivative: position j is read by the windows list[start[j]:start[j+1]].
KERNEL(largest_dx)(real *dst, const real *dy, const int *which, const int *start, const int *list, int k, int m, int add, int size) {
	THREAD
	int j = i % m, r = i / m * k;
	real sum = add ? dst[i] : 0;
	for (int t = start[j]; t < start[j + 1]; t++)
		if (which[r + list[t]] == j) sum += dy[r + list[t]];
	dst[i] = sum;
}

// The largest of several operands, of which this is number k.
KERNEL(larger)(real *dst, int *which, const real *x, int k, int size) {
	THREAD
	if (k == 0 || x[i] > dst[i] || x[i] != x[i]) dst[i] = x[i], which[i] = k;
}

KERNEL(larger_dx)(real *dst, const real *dy, const int *which, int k, int add, int size) {
	THREAD dst[i] = (add ? dst[i] : 0) + (which[i] == k ? dy[i] : 0);
}

// Convolutions: row (channel, kernel position) and column (output position) of
// each example and group have what the weight reads there.
KERNEL(unfold)(real *cols, const real *x, const int *table, int kernel, int out_len, int in_len, int size) {
	THREAD
	int from = table[i % (kernel * out_len)];
	cols[i] = from < 0 ? 0 : x[i / (kernel * out_len) * in_len + from];
}

// Its transpose: input position j is read at list[start[j]:start[j+1]] of its channel.
KERNEL(refold)(real *dx, const real *cols, const int *start, const int *list, int each, int in_len, int add, int size) {
	THREAD
	int j = i % in_len;
	real sum = add ? dx[i] : 0;
	for (int t = start[j]; t < start[j + 1]; t++) sum += cols[i / in_len * each + list[t]];
	dx[i] = sum;
}

// The loss of each example and its derivative, as package engine defines them:
// softmax, truncated or squared.
KERNEL(loss)(real *dst, const real *logits, const int *labels, const real *targets, double *sums, int kind, double margin, int m, double inv, int size) {
	THREAD
	const real *f = logits + i * m;
	real *d = dst ? dst + i * m : 0;
	int y = labels ? labels[i] : -1;
	double loss = 0, full;
	if (kind == 2) {
		for (int c = 0; c < m; c++) {
			double want = targets ? (double)targets[i * m + c] : m == 1 ? 2 * y - 1 : c == y;
			double r = f[c] - want;
			loss += r * r;
			if (d) d[c] = r * inv;
		}
		full = loss /= 2;
	} else if (m == 1) {
		double z = f[0], far = y == 0 ? -z : z;
		loss = full = (far < 0 ? -far : far != far ? far : 0) + log1p(exp(-fabs(far)));
		int cut = kind == 1 && far > margin;
		if (cut) loss = 0;
		if (d) d[0] = cut ? 0 : (1 / (1 + exp(-z)) - y) * inv;
	} else {
		double most = -INFINITY, rival = -INFINITY, sum = 0;
		for (int c = 0; c < m; c++) {
			double v = f[c];
			if (v != v || v > most) most = v;
			if (c != y && (v != v || v > rival)) rival = v;
		}
		for (int c = 0; c < m; c++) sum += exp(f[c] - most);
		loss = full = most + log(sum) - f[y];
		int cut = kind == 1 && f[y] - rival > margin;
		if (cut) loss = 0;
		for (int c = 0; d && c < m; c++) d[c] = cut ? 0 : (exp(f[c] - most) / sum - (c == y)) * inv;
	}
	int best = m == 1 && f[0] > 0 ? 1 : 0;
	for (int c = 0; m > 1 && c < m; c++)
		if (f[c] > f[best]) best = c;
	for (int c = 0; c < m; c++)
		if (f[c] != f[c]) best = -1;
	sums[3 * i] = loss, sums[3 * i + 1] = full, sums[3 * i + 2] = labels && best != y;
}

KERNEL(loss_sums)(double *dst, const double *sums, int examples, int size) {
	THREAD
	double s = 0;
	for (int r = 0; r < examples; r++) s += sums[3 * r + i];
	dst[i] = s;
}

// Vectors of path sums: v[i] 2^e. A reader brings the largest number near 1, by
// the exponent of the largest one, top; NONE where all are zero or nothing is to
// be done.

#define NONE (-2147483647 - 1)
struct head { int e, top; };

static __device__ double value(const double *v, const head *h, int i) { return h->top == NONE ? v[i] : scalbn(v[i], -h->top); }
static __device__ int exponent(const head *h) { return h->e + (h->top == NONE ? 0 : h->top); }
static __device__ double edge(double w, int p) { return p == 2 ? w * w : fabs(w); }

static __device__ void put(double *v, head *h, int i, double x, int e) {
	v[i] = x;
	if (i == 0) h->e = e;
	if (x > 0 && x - x == 0) atomicMax(&h->top, ilogb(x) + 1);
}

KERNEL(path_reset)(head *h, int size) { THREAD h[i].e = 0, h[i].top = NONE; }

// A layer's weights along one of their sides, w[o so + k sk], in lanes parts of
// each sum; neighbours read neighbours.
KERNEL(path_dense)(double *part, const real *w, const double *x, const head *xh, int p, int outs, int so, int depth, int sk, int lanes, int inner, int total, int size) {
	THREAD
	int lane = sk == 1 ? i % lanes : i / total, e = sk == 1 ? i / lanes : i % total;
	int o = e % outs, a = e / outs / inner, b = e / outs % inner;
	double s = 0;
	for (int k = lane; k < depth; k += lanes) s += edge(w[o * so + k * sk], p) * value(x, xh, (a * depth + k) * inner + b);
	part[lane * total + (a * outs + o) * inner + b] = s;
}

KERNEL(path_fold)(double *dst, head *h, const head *xh, const double *part, int lanes, int size) {
	THREAD
	double s = 0;
	for (int k = 0; k < lanes; k++) s += part[k * size + i];
	put(dst, h, i, s, exponent(xh));
}

KERNEL(path_conv)(double *dst, head *h, const double *x, const head *xh, const real *w, const int *table, int p, int out, int in, int kernel, int out_len, int in_len, int size) {
	THREAD
	int c = i / out_len, o = i % out_len;
	double s = 0;
	for (int j = 0; j < in; j++)
		for (int k = 0; k < kernel; k++) {
			int from = table[k * out_len + o];
			if (from >= 0) s += edge(w[(c * in + j) * kernel + k], p) * value(x, xh, (c / out * in + j) * in_len + from);
		}
	put(dst, h, i, s, exponent(xh));
}

KERNEL(path_conv_back)(double *dst, head *h, const double *y, const head *yh, const real *w, const int *start, const int *list, int p, int out, int in, int kernel, int out_len, int in_len, int size) {
	THREAD
	int c = i / in_len, j = i % in_len;
	double s = 0;
	for (int t = start[j]; t < start[j + 1]; t++)
		for (int o = c / in * out; o < (c / in + 1) * out; o++)
			s += edge(w[(o * in + c % in) * kernel + list[t] / out_len], p) * value(y, yh, o * out_len + list[t] % out_len);
	put(dst, h, i, s, exponent(yh));
}

// By the numbers of a stage, or by the largest |slope| of an activation.
KERNEL(path_scale)(double *dst, head *h, const double *x, const head *xh, const stage *s, int n, int inner, int p, int gain, int size) {
	THREAD
	double c = fabs(at(s, i / inner % n));
	if (gain && c < 1) c = 1;
	put(dst, h, i, value(x, xh, i) * edge(c, p), exponent(xh));
}

// The edges from the constant unit: what the stages add up to.
KERNEL(path_bias)(double *dst, head *h, const double *x, const head *xh, const stage *s, int stages, int n, int inner, int p, int size) {
	THREAD
	double a, c, v = value(x, xh, i);
	int e = exponent(xh);
	up_to(s, stages, i / inner % n, &a, &c);
	if (e < -400) v = scalbn(v, e), e = 0;
	put(dst, h, i, v + edge(c, p) * scalbn(1.0, -e), e);
}

KERNEL(path_add)(double *dst, head *h, const double *x, const head *xh, const double *y, const head *yh, int size) {
	THREAD
	int ex = exponent(xh), ey = exponent(yh), e = ex > ey ? ex : ey;
	put(dst, h, i, scalbn(value(x, xh, i), ex - e) + scalbn(value(y, yh, i), ey - e), e);
}

KERNEL(path_gather)(double *dst, head *h, const double *x, const head *xh, const int *start, const int *list, const double *weight, int k, int m, int size) {
	THREAD
	int o = i % k;
	double s = 0;
	for (int t = start[o]; t < start[o + 1]; t++) s += (weight ? weight[t] : 1) * value(x, xh, i / k * m + list[t]);
	put(dst, h, i, s, exponent(xh));
}

// h^q of sums, q = 2 where square is set, else 1; or its reciprocal, 0 for 0.
KERNEL(path_raise)(double *dst, head *h, const double *x, const head *xh, int square, int reciprocal, int size) {
	THREAD
	double v = value(x, xh, i);
	int e = exponent(xh);
	if (square) v *= v, e *= 2;
	if (reciprocal) v = v == 0 || v - v != 0 || 1 / v - 1 / v != 0 ? 0 : 1 / v, e = -e;
	put(dst, h, i, v, e);
}

// Of the numbers of a stage, sums of |coef|^q (in out)^q over the positions that
// each serves. counted leaves out slopes that paths see as 1.
KERNEL(path_total)(double *dst, head *h, const double *in, const head *inh, const double *out, const head *outh, const int *start, const int *list, const stage *s, int n, int inner, int q, int square, int counted, int size) {
	THREAD
	double sum = 0;
	for (int t = start[i]; t < start[i + 1]; t++) {
		int e = list[t];
		double x = value(out, outh, e) * (in ? value(in, inh, e) : 1);
		sum += edge(coef(s, e / inner % n), q) * (square ? x * x : x);
	}
	if (counted && fabs((double)s->theta[i]) <= 1) sum = 0;
	put(dst, h, i, sum, (exponent(outh) + (in ? exponent(inh) : 0)) * (square ? 2 : 1));
}

KERNEL(path_dense_total)(double *dst, head *h, const double *in, const head *inh, const double *out, const head *outh, int rows, int cols, int inout, int outer, int inner, int square, int size) {
	THREAD
	int r = inout ? i % rows : i / cols, c = inout ? i / rows : i % cols;
	double sum = 0;
	for (int a = 0; a < outer; a++)
		for (int b = 0; b < inner; b++) {
			double x = value(out, outh, (a * rows + r) * inner + b) * value(in, inh, (a * cols + c) * inner + b);
			sum += square ? x * x : x;
		}
	put(dst, h, i, sum, (exponent(outh) + exponent(inh)) * (square ? 2 : 1));
}

KERNEL(path_conv_total)(double *dst, head *h, const double *in, const head *inh, const double *out, const head *outh, const int *table, int outs, int ins, int kernel, int out_len, int in_len, int square, int size) {
	THREAD
	int k = i % kernel, j = i / kernel % ins, c = i / kernel / ins;
	double sum = 0;
	for (int o = 0; o < out_len; o++) {
		int from = table[k * out_len + o];
		if (from < 0) continue;
		double x = value(out, outh, c * out_len + o) * value(in, inh, (c / outs * ins + j) * in_len + from);
		sum += square ? x * x : x;
	}
	put(dst, h, i, sum, (exponent(outh) + exponent(inh)) * (square ? 2 : 1));
}

// Optimizers. Factors of element i are row[i / cols] col[i % cols], either of
// which may be missing.
struct factors {
	const double *row;
	const head *row_head;
	const double *col;
	const head *col_head;
};

static __device__ double factor(const factors *f, int cols, int i) {
	double q = 1;
	if (!f) return q;
	if (f->row) q = value(f->row, f->row_head, i / cols);
	if (f->col) q *= value(f->col, f->col_head, i % cols);
	return q;
}

// The gradient with the path penalty's.
static __device__ double slope(const real *w, const real *g, int cols, const factors *pen, double penalty, double p, int i) {
	if (penalty == 0) return g[i];
	double x = w[i];
	return g[i] + penalty * factor(pen, cols, i) * copysign(pow(fabs(x), p - 1), x);
}

// The exponent of the largest g^2/kappa; beyond all where one is not finite.
KERNEL(range)(int *top, const real *w, const real *g, int cols, const factors *inverse, const factors *pen, double penalty, double p, int size) {
	THREAD
	double d = slope(w, g, cols, pen, penalty, p, i), x = d * d * factor(inverse, cols, i);
	if (x - x != 0) atomicMax(top, 1 << 20);
	else if (x > 0) atomicMax(top, ilogb(x) + 1);
}

KERNEL(apply)(real *w, const real *g, real *v, real *a, int cols, const factors *inverse, const factors *pen, double penalty, double p, double step, double sum, double root, double epsilon, double mu, double keep, int size) {
	THREAD
	double s = slope(w, g, cols, pen, penalty, p, i), d = s * factor(inverse, cols, i);
	if (a) {
		a[i] = (real)((double)a[i] + s * d * sum);
		if (d != 0) d /= sqrt((double)a[i]) * root + epsilon;
	}
	d *= step;
	if (v) d = v[i] = (real)mu * v[i] + (real)d;
	w[i] = (real)(keep * w[i] - d);
}

// Rows times factors of a linear update.
KERNEL(times)(real *dst, const real *src, const double *f, const head *h, double scale, int n, int size) {
	THREAD dst[i] = src[i] * (real)(value(f, h, i % n) * scale);
}

// Units whose weights have a p-norm above a bound are scaled down to it.
KERNEL(project)(real *w, int inputs, int columns, double p, double bound, int size) {
	THREAD
	int first = columns ? i : i * inputs, step = columns ? size : 1;
	double s = 0;
	for (int k = 0; k < inputs; k++) s += pow(fabs((double)w[first + k * step]), p);
	s = pow(s, 1 / p);
	if (!(s > bound)) return;
	for (int k = 0; k < inputs; k++) w[first + k * step] = (real)(w[first + k * step] * (bound / s));
}
