// An emulation of the part of cuBLAS that we call: libcublas.so.12 on the
// Fortran interface of OpenBLAS, which is column-major as cuBLAS is.
#include <cublas_v2.h>

#include "queue.h"

// A handle works in the context in which it was made.
extern "C" {

void sgemm_(const char *, const char *, const int *, const int *, const int *, const float *, const float *, const int *,
            const float *, const int *, const float *, float *, const int *);
void dgemm_(const char *, const char *, const int *, const int *, const int *, const double *, const double *, const int *,
            const double *, const int *, const double *, double *, const int *);

cublasStatus_t cublasCreate_v2(cublasHandle_t *h) {
	return *h = reinterpret_cast<cublasHandle_t>(new void *(current_context())), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t h) { return delete reinterpret_cast<void **>(h), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int *v) { return *v = 120405, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasGetProperty(libraryPropertyType t, int *v) { return *v = t == MAJOR_VERSION ? 12 : 4, CUBLAS_STATUS_SUCCESS; }

static const char *letter(cublasOperation_t t) { return t == CUBLAS_OP_N ? "N" : "T"; }

cublasStatus_t cublasSgemm_v2(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const float *alpha,
                              const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc) {
	if (h == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
	enqueue_product(*reinterpret_cast<void **>(h), [=, al = *alpha, be = *beta] { sgemm_(letter(ta), letter(tb), &m, &n, &k, &al, a, &lda, b, &ldb, &be, c, &ldc); });
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDgemm_v2(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const double *alpha,
                              const double *a, int lda, const double *b, int ldb, const double *beta, double *c, int ldc) {
	if (h == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
	enqueue_product(*reinterpret_cast<void **>(h), [=, al = *alpha, be = *beta] { dgemm_(letter(ta), letter(tb), &m, &n, &k, &al, a, &lda, b, &ldb, &be, c, &ldc); });
	return CUBLAS_STATUS_SUCCESS;
}

} // extern "C"
