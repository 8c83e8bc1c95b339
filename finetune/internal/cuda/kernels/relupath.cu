// Kernels of the operations that package finetune/internal/gorgonia adds to
// Gorgonia's. All matrices are row-major with n columns; size is the number of
// threads, the elements of the result. Sums run over rows in order, as on the
// host, so that both round alike.

#define THREAD \
	int i = (blockIdx.x + blockIdx.y * gridDim.x + gridDim.x * gridDim.y * blockIdx.z) * (blockDim.x * blockDim.y * blockDim.z) + \
	        threadIdx.z * (blockDim.x * blockDim.y) + threadIdx.y * blockDim.x + threadIdx.x; \
	if (i >= size) return;

#define KERNELS(t, type) \
	/* A row repeated: dst[r,j] = src[j]. */ \
	extern "C" __global__ void spread_##t(type *dst, type *src, int n, int size) { THREAD dst[i] = src[i % n]; } \
	/* Its adjoint: dst[j] = sum_r src[r,j]. */ \
	extern "C" __global__ void fold_##t(type *dst, type *src, int rows, int size) { \
		THREAD \
		type sum = 0; \
		for (int r = 0; r < rows; r++) sum += src[r * size + i]; \
		dst[i] = sum; \
	} \
	/* z for z > 0, slope z otherwise. */ \
	extern "C" __global__ void activate_##t(type *dst, type *z, type *slope, int n, int size) { \
		THREAD dst[i] = z[i] <= 0 ? z[i] * slope[i % n] : z[i]; \
	} \
	/* Its derivative by z, times g. */ \
	extern "C" __global__ void activate_dz_##t(type *dst, type *z, type *slope, type *g, int n, int size) { \
		THREAD dst[i] = z[i] > 0 ? g[i] : g[i] * slope[i % n]; \
	} \
	/* Its derivative by the slope, times g, summed over rows. */ \
	extern "C" __global__ void activate_ds_##t(type *dst, type *z, type *slope, type *g, int rows, int size) { \
		THREAD \
		type sum = 0; \
		for (int r = 0; r < rows; r++) if (z[r * size + i] <= 0) sum += g[r * size + i] * z[r * size + i]; \
		dst[i] = sum; \
	}

KERNELS(f32, float)
KERNELS(f64, double)
