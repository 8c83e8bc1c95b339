// An emulation of the part of cuDNN that Gorgonia calls for matrices: it makes a
// handle and gives it back.
#include <cudnn.h>

extern "C" {

cudnnStatus_t cudnnCreate(cudnnHandle_t *h) { return *h = reinterpret_cast<cudnnHandle_t>(new char), CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnDestroy(cudnnHandle_t h) { return delete reinterpret_cast<char *>(h), CUDNN_STATUS_SUCCESS; }
size_t cudnnGetVersion(void) { return CUDNN_VERSION; }

} // extern "C"
