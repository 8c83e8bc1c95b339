// The loader behind the archives libcuda.a, libcublas.a and libcudnn.a, against
// which the CUDA build links in place of NVIDIA's libraries. Each function of
// those archives finds its namesake in the real library at its first call, so
// that the program starts, and does all that needs no device, where a library is
// missing. A missing function gives an error code of its library.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

enum { CUDA, CUBLAS, CUDNN, LIBRARIES };

static const char *const file[LIBRARIES] = {"libcuda.so.1", "libcublas.so.12", "libcudnn.so.8"};
static void *handle[LIBRARIES];
static char failure[LIBRARIES][512];

// CUDA_ERROR_NO_DEVICE, and *_STATUS_NOT_INITIALIZED of the other two.
static int no_cuda(void) { return 100; }
static int no_library(void) { return 1; }

// relupath_cuda_open loads a library and returns what the dynamic linker says
// against it, or NULL.
const char *relupath_cuda_open(int library) {
	if (handle[library] == NULL && failure[library][0] == 0) {
		handle[library] = dlopen(file[library], RTLD_NOW | RTLD_GLOBAL);
		if (handle[library] == NULL) {
			snprintf(failure[library], sizeof failure[library], "%s", dlerror());
		}
	}
	return handle[library] != NULL ? NULL : failure[library];
}

// relupath_cuda_resolve is called by the trampolines.
void *relupath_cuda_resolve(int library, const char *name) {
	void *f = NULL;
	if (relupath_cuda_open(library) == NULL) {
		f = dlsym(handle[library], name);
	}
	if (f != NULL) {
		return f;
	}
	return library == CUDA ? (void *)no_cuda : (void *)no_library;
}

static int started;

// cuInit always succeeds: package gorgonia.org/cu calls it when the program
// starts, and ends the program where it fails. What the driver said is in
// relupath_cuda_started.
int cuInit(unsigned flags) {
	started = ((int (*)(unsigned))relupath_cuda_resolve(CUDA, "cuInit"))(flags);
	return 0;
}

int relupath_cuda_started(void) { return started; }
