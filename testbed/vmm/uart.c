/* SPDX-License-Identifier: BSD-3-Clause
 * The console: a 16550A that has always finished transmitting. */
#include <stdio.h>
#include <string.h>

#include "vmm.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR };
enum { IER_RECEIVED = 0x01, IER_TRANSMITTED = 0x02, LCR_DIVISOR = 0x80, MSR_CONNECTED = 0xb0 };
enum { IIR_NONE = 0x01, IIR_TRANSMITTED = 0x02, IIR_RECEIVED = 0x04, IIR_FIFOS = 0xc0 };
enum { LSR_RECEIVED = 0x01, LSR_TRANSMITTED = 0x60 };

static uint8_t Cause(const struct uart* u) {
  if ((u->registers[IER] & IER_RECEIVED) != 0 && u->count > 0) return IIR_RECEIVED;
  if ((u->registers[IER] & IER_TRANSMITTED) != 0 && u->transmitted) return IIR_TRANSMITTED;
  return IIR_NONE;
}

/* With the interrupt line as it is to be. */
static void Unlock(struct machine* m) {
  bool line = Cause(&m->uart) != IIR_NONE;
  if (line != m->uart.line) SetLine(m, UART_SPI, line);
  m->uart.line = line;
  pthread_mutex_unlock(&m->uart.lock);
}

void UartReset(struct machine* m) {
  struct uart* u = &m->uart;
  pthread_mutex_lock(&u->lock);
  memset(u->registers, 0, sizeof u->registers);
  u->registers[MSR] = MSR_CONNECTED;
  Unlock(m);
}

static uint8_t Read(struct uart* u, uint64_t offset) {
  uint8_t cause = Cause(u);
  if (offset == LSR) return LSR_TRANSMITTED | (u->count > 0 ? LSR_RECEIVED : 0);
  if (offset == IIR && cause == IIR_TRANSMITTED) u->transmitted = false;
  if (offset == IIR) return cause | IIR_FIFOS;
  if (offset != DATA || u->count == 0) return u->registers[offset];
  u->count--;
  return u->input[u->begin++ % sizeof u->input];
}

static void Write(struct uart* u, uint64_t offset, uint8_t value) {
  bool divisor = offset <= IER && (u->registers[LCR] & LCR_DIVISOR) != 0; /* without effect */
  if (offset == DATA && !divisor) {
    putchar(value);
    fflush(stdout);
    u->transmitted = true;
  } else if (offset == IER && !divisor) {
    u->transmitted |= (value & ~u->registers[IER] & IER_TRANSMITTED) != 0;
    u->registers[IER] = value;
  } else if (offset == LCR || offset == MCR) {
    u->registers[offset] = value;
  }
}

void UartAccess(struct machine* m, uint64_t offset, bool is_write, uint8_t* data) {
  struct uart* u = &m->uart;
  pthread_mutex_lock(&u->lock);
  if (is_write) Write(u, offset, *data);
  if (!is_write) *data = Read(u, offset);
  Unlock(m);
}

/* What the guest does not read in time is lost, as on a real one. */
void UartInput(struct machine* m, const uint8_t* bytes, uint64_t count) {
  struct uart* u = &m->uart;
  pthread_mutex_lock(&u->lock);
  for (uint64_t i = 0; i < count && u->count < sizeof u->input; i++) {
    u->input[(u->begin + u->count++) % sizeof u->input] = bytes[i];
  }
  Unlock(m);
}
