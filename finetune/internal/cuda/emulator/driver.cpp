// An emulation of the part of the CUDA driver that we call, for tests on
// machines without a GPU: libcuda.so.1 with host memory in place of device
// memory. A module is recognised by the names of its kernels, which were
// compiled as C++ from the sources that its PTX is made of. Kernels and products
// run as late as a device may run them, at the next copy or synchronisation of
// their context, so that a missing one shows. A thread without a current context
// gets an error. Calls are counted.
//
// RELUPATH_EMULATOR sets what goes wrong: "nodevice" or "memory=BYTES".
#include <cuda.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <mutex>
#include <sstream>
#include <vector>

#include "kernel.h"
#include "queue.h"

namespace {

std::map<std::string, Kernel> &kernels() {
	static std::map<std::string, Kernel> all;
	return all;
}

struct Module { std::vector<std::string> names; };

std::recursive_mutex mutex;
std::map<CUcontext, std::vector<std::function<void()>>> streams; // the default stream of each context
thread_local CUcontext current;
std::map<uintptr_t, size_t> blocks; // device memory: address and length
size_t used;

// What relupath_emulator_count returns.
struct { uint64_t to_device, to_device_bytes, to_host, to_host_bytes, on_device, on_device_bytes, launches, products, syncs; } count;

const char *fault() {
	const char *s = getenv("RELUPATH_EMULATOR");
	return s ? s : "";
}

size_t memory() {
	return strncmp(fault(), "memory=", 7) == 0 ? strtoull(fault() + 7, nullptr, 10) : size_t(4) << 30;
}

// on_device tells whether a range lies within device memory; within is false
// where it starts there and ends outside.
bool on_device(uintptr_t p, size_t n, bool *within) {
	auto after = blocks.upper_bound(p);
	*within = true;
	if (after == blocks.begin()) return false;
	auto block = std::prev(after);
	if (p >= block->first + block->second) return false;
	*within = p + n <= block->first + block->second;
	return true;
}

void flush() {
	std::lock_guard<std::recursive_mutex> lock(mutex);
	auto work = std::move(streams[current]);
	streams[current].clear();
	for (auto &w : work) w();
}

CUresult copy(uintptr_t dst, uintptr_t src, size_t n) {
	std::lock_guard<std::recursive_mutex> lock(mutex);
	if (current == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
	flush();
	bool dst_within, src_within;
	bool dst_device = on_device(dst, n, &dst_within), src_device = on_device(src, n, &src_within);
	if (!dst_within || !src_within || (!dst_device && !src_device)) return CUDA_ERROR_INVALID_VALUE;
	if (dst_device && src_device) count.on_device++, count.on_device_bytes += n;
	else if (dst_device) count.to_device++, count.to_device_bytes += n;
	else count.to_host++, count.to_host_bytes += n;
	memmove(reinterpret_cast<void *>(dst), reinterpret_cast<void *>(src), n);
	return CUDA_SUCCESS;
}

CUresult allocate(CUdeviceptr *p, size_t n) {
	std::lock_guard<std::recursive_mutex> lock(mutex);
	if (current == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
	if (n == 0) return CUDA_ERROR_INVALID_VALUE;
	if (used + n > memory()) return CUDA_ERROR_OUT_OF_MEMORY;
	// Fresh device memory holds anything; NaNs show who reads it.
	void *m = aligned_alloc(512, (n + 511) / 512 * 512);
	if (m == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
	memset(m, 0xff, n);
	blocks[reinterpret_cast<uintptr_t>(m)] = n;
	used += n;
	*p = reinterpret_cast<CUdeviceptr>(m);
	return CUDA_SUCCESS;
}

} // namespace

void add(Kernel k) { kernels()[k.name] = k; }

void *current_context() { return current; }

void enqueue_product(void *context, std::function<void()> work) {
	std::lock_guard<std::recursive_mutex> lock(mutex);
	count.products++;
	streams[static_cast<CUcontext>(context)].push_back(std::move(work));
}

extern "C" {

void relupath_emulator_count(void *dst) { memcpy(dst, &count, sizeof count); }

CUresult cuInit(unsigned) { return strcmp(fault(), "nodevice") == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int *v) { return *v = 12040, CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int *n) { return *n = 1, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *d, int i) { return *d = i, i == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE; }
CUresult cuDeviceGetName(char *name, int n, CUdevice) { return strncpy(name, "emulated device", n), CUDA_SUCCESS; }
CUresult cuDeviceTotalMem_v2(size_t *n, CUdevice) { return *n = memory(), CUDA_SUCCESS; }

CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice) {
	switch (a) {
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *v = 6; break;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *v = 0; break;
	default: return CUDA_ERROR_INVALID_VALUE;
	}
	return CUDA_SUCCESS;
}

CUresult cuCtxCreate_v2(CUcontext *c, unsigned, CUdevice) { return current = *c = reinterpret_cast<CUcontext>(new char), CUDA_SUCCESS; }
CUresult cuCtxDestroy_v2(CUcontext c) {
	if (current == c) current = nullptr;
	return delete reinterpret_cast<char *>(c), CUDA_SUCCESS;
}
CUresult cuCtxSetCurrent(CUcontext c) { return current = c, CUDA_SUCCESS; }
CUresult cuCtxSynchronize() { return count.syncs++, flush(), current ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT; }

CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
	std::lock_guard<std::recursive_mutex> lock(mutex);
	if (current == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
	*total = memory();
	*free = *total > used ? *total - used : 0;
	return CUDA_SUCCESS;
}
CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t n) { return allocate(p, n); }
CUresult cuMemFree_v2(CUdeviceptr p) {
	std::lock_guard<std::recursive_mutex> lock(mutex);
	flush();
	auto block = blocks.find(p);
	if (block == blocks.end()) return CUDA_ERROR_INVALID_VALUE;
	used -= block->second;
	blocks.erase(block);
	free(reinterpret_cast<void *>(p));
	return CUDA_SUCCESS;
}
CUresult cuMemcpyHtoD_v2(CUdeviceptr dst, const void *src, size_t n) { return copy(dst, reinterpret_cast<uintptr_t>(src), n); }
CUresult cuMemcpyDtoH_v2(void *dst, CUdeviceptr src, size_t n) { return copy(reinterpret_cast<uintptr_t>(dst), src, n); }

// A module is the names of the kernels of its PTX: ".entry name(".
CUresult cuModuleLoadData(CUmodule *m, const void *image) {
	if (current == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
	auto module = new Module;
	std::istringstream text(static_cast<const char *>(image));
	for (std::string word; text >> word;) {
		if (word != ".entry") continue;
		text >> word;
		word = word.substr(0, word.find('('));
		if (!kernels().count(word)) return delete module, CUDA_ERROR_INVALID_PTX;
		module->names.push_back(word);
	}
	if (module->names.empty()) return delete module, CUDA_ERROR_INVALID_PTX;
	*m = reinterpret_cast<CUmodule>(module);
	return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule m) { return delete reinterpret_cast<Module *>(m), CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction *f, CUmodule m, const char *name) {
	for (auto &n : reinterpret_cast<Module *>(m)->names) {
		if (n == name) return *f = reinterpret_cast<CUfunction>(&kernels()[n]), CUDA_SUCCESS;
	}
	return CUDA_ERROR_NOT_FOUND;
}

CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned, CUstream, void **params, void **) {
	if (f == nullptr) return CUDA_ERROR_INVALID_HANDLE;
	if (current == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
	if (gx * bx == 0 || gy * by == 0 || gz * bz == 0 || bx * by * bz > 1024) return CUDA_ERROR_INVALID_VALUE;
	auto k = reinterpret_cast<Kernel *>(f);
	std::vector<uint64_t> values; // the arguments, none longer
	for (int i = 0; i < k->arguments; i++) values.push_back(*static_cast<uint64_t *>(params[i]));
	std::lock_guard<std::recursive_mutex> lock(mutex);
	count.launches++;
	streams[current].push_back([=]() mutable {
		std::vector<void *> p;
		for (auto &v : values) p.push_back(&v);
		gridDim = {gx, gy, gz}, blockDim = {bx, by, bz};
		for (blockIdx.z = 0; blockIdx.z < gz; blockIdx.z++)
			for (blockIdx.y = 0; blockIdx.y < gy; blockIdx.y++)
				for (blockIdx.x = 0; blockIdx.x < gx; blockIdx.x++)
					for (threadIdx.z = 0; threadIdx.z < bz; threadIdx.z++)
						for (threadIdx.y = 0; threadIdx.y < by; threadIdx.y++)
							for (threadIdx.x = 0; threadIdx.x < bx; threadIdx.x++) k->call(k->function, p.data());
	});
	return CUDA_SUCCESS;
}

} // extern "C"
