// How the emulated cuBLAS hands its work to the emulated driver.
#pragma once
#include <functional>

// current_context returns the thread's context, null for the device's primary.
void *current_context();

// enqueue_product adds work to the default stream of a context.
void enqueue_product(void *context, std::function<void()> work);
