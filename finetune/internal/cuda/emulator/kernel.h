// What a CUDA kernel needs to be compiled as C++ and run by the emulated driver,
// one thread after the other.
#pragma once
#include <math.h>

#include <string>
#include <tuple>
#include <utility>

#define __global__
#define __device__

struct Index { unsigned x, y, z; };
inline thread_local Index gridDim, blockDim, blockIdx, threadIdx;

// Threads run one after the other.
inline int atomicMax(int *p, int v) {
	int old = *p;
	if (v > old) *p = v;
	return old;
}

// Kernel runs one thread with arguments in the form of cuLaunchKernel: a pointer
// to each.
struct Kernel {
	std::string name;
	void (*function)();
	void (*call)(void (*)(), void **);
	int arguments;
};

void add(Kernel);

template <class... A> struct Caller {
	template <size_t... I> static void with(void (*f)(A...), void **p, std::index_sequence<I...>) { f(*static_cast<A *>(p[I])...); }
	static void call(void (*f)(), void **p) { with(reinterpret_cast<void (*)(A...)>(f), p, std::index_sequence_for<A...>{}); }
};

// Registered makes a kernel known by its name.
struct Registered {
	template <class... A> Registered(const char *name, void (*f)(A...)) { add({name, reinterpret_cast<void (*)()>(f), &Caller<A...>::call, sizeof...(A)}); }
};
