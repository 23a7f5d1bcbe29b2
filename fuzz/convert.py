# SPDX-License-Identifier: BSD-3-Clause
"""From a record of a guest's calls (src/dialect/optee/call_recorder.h) to inputs of the fuzzers.

An input must stand on its own and fit 16 pages. So each message is joined by what it needs: the
registration of the buffers it names, the session it is for, and their ends. Addresses move to
the fuzzers' memory; the application becomes one that the fake TEE has.
"""

import struct
from dataclasses import dataclass, field

PAGE = 4096
RAM = 0x10000
PAGES = 16
OPEN, INVOKE, CLOSE, _CANCEL, REGISTER, UNREGISTER = range(6)
CALL_WITH_RPC_ARG, CALL_WITH_ARG, RETURN_FROM_RPC = 0x32000012, 0x32000004, 0x32000003
MESSAGE_CALLS = (CALL_WITH_RPC_ARG, CALL_WITH_ARG, 0x32000013)
NONCONTIGUOUS = 0x200
ECHO = bytes.fromhex("5c1d3f709e6b4b0a8d523ac19427e801")
HELLO = bytes.fromhex("8aaaf200245011e4abe20002a5d5c51b")
APPLICATIONS = (ECHO, HELLO)

# The order of the fuzzers' own tables.
SECURE_CALL_FUNCTIONS = (0x32000012, 0x32000004, 0x32000013, 0x32000003, 0xB2000010, 0xB2000011,
                         0xB200000A, 0xB200000B, 0xB2000009, 0xB2000007, 0xBF00FF01, 0x32000005)
MAILBOX_FUNCTIONS = (0x32000012, 0x32000004, 0x32000003, 0x32000013, 0xBF00FF01, 0xB2000010,
                     0xB2000009, 0x3200BEEF)
STEP_ATTRIBUTES = (0, 1, 2, 3, 5, 6, 7, 9, 0xA, 0xB, 0x209, 0x20A, 0x20B, 0x101, 0x0C, 0x206)
PLACE_NULL, PLACE_DATA, PLACE_LIST, PLACE_LONG_LIST = range(4)


@dataclass
class Message:
    """struct optee_msg_arg, and the page lists that its parameters name."""

    header: tuple
    params: list
    lists: dict = field(default_factory=dict)

    @property
    def command(self):
        return self.header[0]

    @property
    def session(self):
        return self.header[2]


def parse_line(line):
    """A line's registers and its message, if it has one."""
    words = line.split()
    registers = [int(word, 16) for word in words[2:8]]
    message, at = None, 8
    while at < len(words):
        if words[at] == "message":
            data = bytes.fromhex(words[at + 2])
            params = [struct.unpack_from("<4Q", data, i) for i in range(32, len(data), 32)]
            message = Message(struct.unpack_from("<8I", data), params)
            at += 3
        elif words[at] == "list":
            entries = bytes.fromhex(words[at + 3])
            message.lists[int(words[at + 1], 16)] = entries
            at += 4
        else:
            raise ValueError(f"not a record of calls: {line[:80]!r}")
    return registers, message


def is_temporary(attribute):
    return 9 <= attribute & 0xFF <= 0xB


def is_registered(attribute):
    return 5 <= attribute & 0xFF <= 7


def conversation(message, opening):
    """The message with what it needs before and after it; sessions of the fake TEE begin at 1."""
    before, after = [], []
    cookies = sorted({param[3] for param in message.params if is_registered(param[0]) and param[3]})
    if message.command in (INVOKE, CLOSE, UNREGISTER, OPEN):
        for cookie in cookies[:4]:
            size = max(param[1] % PAGE + min(param[2], PAGE) for param in message.params
                       if param[3] == cookie)
            before.append(("register", cookie, max(size, 1)))
            if message.command != UNREGISTER:
                after.append(("unregister", cookie, 0))
    if message.command in (INVOKE, CLOSE):
        before.append(("open", opening, 0))
        after.insert(0, ("close", None, 0))
    return before + [("message", message, 0)] + after


def made(kind, what, size):
    """A Message for a part of a conversation."""
    if kind == "register":
        return Message((REGISTER, 0, 0, 0, 0, 0, 0, 1), [(0x20A, RAM, size, what)], {RAM: b""})
    if kind == "unregister":
        return Message((UNREGISTER, 0, 0, 0, 0, 0, 0, 1), [(5, 0, 0, what)])
    if kind == "close":
        return Message((CLOSE, 0, 1, 0, 0, 0, 0, 0), [])
    if what is None:
        return Message((OPEN, 0, 0, 0, 0, 0, 0, 2), [(0x101, 0, 0, 0), (0x101, 0, 0, 0)])
    return what


class Memory:
    """16 pages at RAM: messages from the front, one page list and data at the end."""

    LIST, DATA = PAGES - 4, PAGES - 3

    def __init__(self):
        self.bytes = bytearray(PAGES * PAGE)
        self.used = 0
        struct.pack_into("<3Q", self.bytes, self.LIST * PAGE,
                         *(RAM + (self.DATA + i) * PAGE for i in (1, 0, 2)))

    def place(self, message, session, application):
        """Puts the message onto the next page; its address, or None when there is no room."""
        if self.used == self.LIST:
            return None
        at, self.used = self.used * PAGE, self.used + 1
        header = list(message.header)
        header[2] = session
        struct.pack_into("<8I", self.bytes, at, *header)
        for i, param in enumerate(message.params):
            attribute, a, b, c = param
            if is_temporary(attribute) and a:
                listed = attribute & NONCONTIGUOUS
                a = RAM + (self.LIST if listed else self.DATA) * PAGE + a % PAGE
                b = min(b, 2 * PAGE)
            elif is_registered(attribute) and message.command != UNREGISTER:
                a, b = a % PAGE, min(b, PAGE)
            struct.pack_into("<4Q", self.bytes, at + 32 + 32 * i, attribute, a, b, c)
        if message.command == OPEN and message.params:
            self.bytes[at + 40:at + 56] = application
        return RAM + at


def secure_call_input(parts, application):
    """For secure_call_fuzzer: calls, then memory."""
    memory, calls = Memory(), []
    for part in parts:
        message = part if isinstance(part, Message) else made(*part)
        address = memory.place(message, 1, application)
        if address is not None:
            calls.append(struct.pack("<B4Q", 0, 0, address, 0, 0))
    return bytes([len(calls)]) + b"".join(calls) + bytes(memory.bytes).rstrip(b"\0")


def step(message, application):
    """For message_fuzzer: a record of 112 bytes."""
    cookies = {}
    data = b""
    for attribute, a, b, c in message.params[:6]:
        known = attribute if attribute in STEP_ATTRIBUTES else 0
        where, offset, size = PLACE_NULL, a & 0xFFFFFFFF, b
        if is_temporary(attribute) and a:
            where = (PLACE_DATA if not attribute & NONCONTIGUOUS else
                     PLACE_LIST if b <= 2 * PAGE else PLACE_LONG_LIST)
            offset, size = a % PAGE, min(b, 600 * PAGE - PAGE)
        elif is_registered(attribute):
            offset, size = a % PAGE, min(b, PAGE)
        cookie = cookies.setdefault(c, 1 + len(cookies) % 7) if c else 0
        data += struct.pack("<BBBBIQ", STEP_ATTRIBUTES.index(known), 0, where, cookie, offset, size)
    count = min(len(message.params), 6)
    session = application if message.command == OPEN else 1
    head = struct.pack("<8BII", 0, 0, min(message.command, 127), session, count,
                       message.header[3] & 7, 0, 15, message.header[1], 0)
    return head + data.ljust(96, b"\0")


def page_list_input(address, size, entries):
    """For page_list_fuzzer: what to walk, then memory with the list on its first page."""
    words = struct.unpack(f"<{len(entries) // 8}Q", entries)
    order = {page: i for i, page in enumerate(sorted({word for word in words if word}))}
    offset = address % PAGE
    used = min(size, len(words) * PAGE - offset)
    moved = [RAM + (1 + order[word] % (PAGES - 1)) * PAGE if word else 0 for word in words]
    count = (offset + used + PAGE - 1) // PAGE
    return struct.pack("<3Q", RAM, offset, used) + struct.pack(f"<{count}Q", *moved[:count])


def mailbox_input(registers, message):
    """For mailbox_fuzzer: the call, a wait for its answer, then memory with the message."""
    function = registers[0] & 0xFFFFFFFF
    if function in MESSAGE_CALLS:
        function = CALL_WITH_RPC_ARG
    index = MAILBOX_FUNCTIONS.index(function) if function in MAILBOX_FUNCTIONS else 7
    low = [register & 0xFFFFFFFF for register in registers]
    x1, x2 = (0, RAM) if message else (low[1], low[2])
    action = "<4BI2Q"
    data = struct.pack(action, 2, 0, 0, index, low[3], x1, x2)
    data += struct.pack(action, 6, 0, 0, 0, 0, 0, 0) + struct.pack(action, 0x7F, 0, 0, 0, 0, 0, 0)
    if message:
        memory = Memory()
        memory.place(message, 1, ECHO)
        data += bytes(memory.bytes[:512]).rstrip(b"\0")
    return data


def control_input(message):
    """For control_fuzzer: hello, a slot, the guest writes its message and calls."""
    def packet(kind, fds, body):
        return bytes([0, kind, 0, len(fds)]) + bytes(fds) + bytes([len(body)]) + body
    memory = Memory()
    memory.place(message, 1, HELLO)
    written = bytes(memory.bytes[:255]).rstrip(b"\0")
    return (packet(1, [0], struct.pack("<II", 2, 7)) + packet(5, [2], b"") +
            packet(3, [1], struct.pack("<II3Q", 0, 0, RAM, PAGES * PAGE, 0)) +
            bytes([3]) + struct.pack("<HB", 0, len(written)) + written +
            bytes([2, 0, 1]) + struct.pack("<IIB", 0, RAM, 0) + packet(6, [], struct.pack("<I", 1)) +
            packet(4, [], struct.pack("<I", 0)))


def inputs(text):
    """All inputs that the lines of a record give: fuzzer -> set of bytes."""
    found = {name: set() for name in ("secure_call_fuzzer", "message_fuzzer", "page_list_fuzzer",
                                      "mailbox_fuzzer", "control_fuzzer")}
    opening, number = None, 0
    for line in text.splitlines():
        if not line.startswith("call "):
            continue
        registers, message = parse_line(line)
        found["mailbox_fuzzer"].add(mailbox_input(registers, message))
        if message is None:
            continue
        if message.command == OPEN:
            opening = message
        number += 1
        application = number % len(APPLICATIONS)
        parts = conversation(message, opening)
        found["secure_call_fuzzer"].add(secure_call_input(
            [part[1] if part[0] == "message" else part for part in parts],
            APPLICATIONS[application]))
        found["message_fuzzer"].add(b"".join(
            step(part[1] if part[0] == "message" else made(*part), application)
            for part in parts[:16]))
        for address, entries in message.lists.items():
            size = next(param[2] for param in message.params if param[1] == address)
            found["page_list_fuzzer"].add(page_list_input(address, size, entries))
        found["control_fuzzer"].add(control_input(message))
    return found
