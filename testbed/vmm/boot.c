/* SPDX-License-Identifier: BSD-3-Clause
 * Loads a kernel as the arm64 boot protocol asks (Linux, Documentation/arch/arm64/booting.rst) and
 * describes the machine to it in a device tree. */
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "vmm.h"

enum { GIC_PHANDLE = 1, SPI = 0, PPI = 1, EDGE = 1, LEVEL = 4 };

/* Reads a file into the RAM and returns its size. */
static uint64_t LoadFile(struct machine* m, const char* path, uint64_t offset) {
  FILE* file = fopen(path, "rbe");
  if (file == NULL) err(2, "%s", path);
  if (offset >= m->ram_bytes) errx(2, "--memory is too small");
  uint64_t size = fread(m->ram + offset, 1, m->ram_bytes - offset, file);
  if (!feof(file)) errx(2, "%s cannot be read, or --memory is too small", path);
  fclose(file);
  return size;
}

/* The node of a path; it is made when it is not there. */
static int Node(void* fdt, const char* path) {
  int node = fdt_path_offset(fdt, path);
  if (node >= 0) return node;
  const char* name = strrchr(path, '/');
  int parent = fdt_path_offset_namelen(fdt, path, name == path ? 1 : (int)(name - path));
  return fdt_add_subnode(fdt, parent, name + 1);
}

static void Bytes(void* fdt, const char* path, const char* name, const void* bytes, size_t size) {
  int result = fdt_setprop(fdt, Node(fdt, path), name, bytes, (int)size);
  if (result < 0) errx(2, "device tree, %s %s: %s", path, name, fdt_strerror(result));
}

static void Cells(void* fdt, const char* path, const char* name, const uint32_t* cells, int count) {
  fdt32_t big_endian[16];
  for (int i = 0; i < count; i++) big_endian[i] = cpu_to_fdt32(cells[i]);
  Bytes(fdt, path, name, big_endian, (size_t)count * sizeof big_endian[0]);
}
#define TEXT(path, name, text) Bytes(fdt, path, name, text, strlen(text) + 1)
#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))
#define ARRAY(...) ((const uint32_t[]){__VA_ARGS__})
#define CELLS(path, name, ...) Cells(fdt, path, name, ARRAY(__VA_ARGS__), COUNT(ARRAY(__VA_ARGS__)))
#define TWO(value) (uint32_t)((uint64_t)(value) >> 32), (uint32_t)(value) /* cells */

static void Describe(struct machine* m, void* fdt) {
  CELLS("/", "#address-cells", 2);
  CELLS("/", "#size-cells", 2);
  CELLS("/", "interrupt-parent", GIC_PHANDLE);
  CELLS("/cpus", "#address-cells", 1);
  CELLS("/cpus", "#size-cells", 0);
  for (uint32_t i = 0; i < m->vcpu_count; i++) {
    char path[] = "/cpus/cpu@0";
    path[sizeof path - 2] = (char)('0' + i);
    TEXT(path, "device_type", "cpu");
    TEXT(path, "compatible", "arm,armv8");
    TEXT(path, "enable-method", "psci");
    CELLS(path, "reg", i); /* KVM gives the first 16 vCPUs their number as affinity */
  }
  TEXT("/psci", "compatible", "arm,psci-0.2"); /* KVM's own */
  TEXT("/psci", "method", "hvc");
  TEXT("/timer", "compatible", "arm,armv8-timer");
  CELLS("/timer", "interrupts", PPI, 13, LEVEL, PPI, 14, LEVEL, PPI, 11, LEVEL, PPI, 10, LEVEL);
  TEXT("/memory@40000000", "device_type", "memory");
  CELLS("/memory@40000000", "reg", TWO(RAM_BASE), TWO(m->ram_bytes));
  TEXT("/intc@8000000", "compatible", "arm,gic-v3");
  Bytes(fdt, "/intc@8000000", "interrupt-controller", NULL, 0);
  CELLS("/intc@8000000", "#interrupt-cells", 3);
  CELLS("/intc@8000000", "phandle", GIC_PHANDLE);
  CELLS("/intc@8000000", "reg", TWO(GIC_DIST), TWO(0x10000), TWO(GIC_REDIST),
        TWO(0x20000 * m->vcpu_count));
  TEXT("/serial@9000000", "compatible", "ns16550a");
  CELLS("/serial@9000000", "reg", TWO(UART_BASE), TWO(UART_BYTES));
  CELLS("/serial@9000000", "clock-frequency", 1843200);
  CELLS("/serial@9000000", "interrupts", SPI, UART_SPI, LEVEL);
  /* What the guest's OP-TEE driver binds to. */
  int32_t spi = vtee_vm_interrupt(m->tee);
  Node(fdt, "/firmware");
  TEXT("/firmware/optee", "compatible", "linaro,optee-tz");
  TEXT("/firmware/optee", "method", "smc"); /* vtee answers "hvc", too */
  if (spi >= 0) CELLS("/firmware/optee", "interrupts", SPI, (uint32_t)spi, EDGE);
}

/* The device tree, the kernel, the initramfs. */
void LoadGuest(struct machine* m) {
  uint64_t image_bytes = 0, offset = KERNEL_BASE - RAM_BASE;
  uint64_t size = LoadFile(m, m->kernel, offset);
  const uint8_t* image = m->ram + offset;
  if (size < 64 || memcmp(image + 56, "ARM\x64", 4) != 0) errx(2, "%s: no arm64 Image", m->kernel);
  memcpy(&image_bytes, image + 16, sizeof image_bytes);
  uint64_t initrd = (offset + image_bytes + 4095) & ~4095ull;
  uint64_t initrd_end = initrd + LoadFile(m, m->initrd, initrd);
  void* fdt = m->ram;
  fdt_create_empty_tree(fdt, (int)offset);
  TEXT("/chosen", "bootargs", m->append);
  TEXT("/chosen", "stdout-path", "/serial@9000000");
  CELLS("/chosen", "linux,initrd-start", TWO(RAM_BASE + initrd));
  CELLS("/chosen", "linux,initrd-end", TWO(RAM_BASE + initrd_end));
  Describe(m, fdt);
}
