# An application of a serial port, written for pyserial: each step is told to the test by a line, which then looks at the chip and answers
# with a line. The path of the port is the argument.

import fcntl
import struct
import sys
import serial

# Rates without a name (asm-generic/ioctls.h); c_ospeed is the last of `struct termios2`.
TCGETS2 = 0x802C542A


def step(name):
    print(name, flush=True)
    sys.stdin.readline()


def echo(port, data):
    # The reader's buffers are smaller than this.
    back = bytearray()
    sent = 0
    while len(back) < len(data):
        sent += port.write(data[sent:sent + 4096])
        back += port.read(max(1, port.in_waiting))
    assert bytes(back) == data, "bytes were changed or lost"


path = sys.argv[1]
port = serial.Serial(path, 115200, timeout=20)
step("open")
everything = bytes(range(256)) * 40
echo(port, everything)
port.flush()
step("echoed")
for baud in (9600, 250000, 3000000):
    port.baudrate = baud
    step(f"baud {baud}")
    echo(port, everything[:1000])
port.baudrate = 50
step("baud 50")
rate = struct.unpack("I", fcntl.ioctl(port.fd, TCGETS2, bytes(44))[40:])[0]
assert rate == 183, f"the port says {rate} baud"
port.baudrate = 115200
port.stopbits = 2
port.rtscts = True
step("two stop bits, RTS/CTS")
echo(port, everything[:1000])
port.rtscts = False
port.xonxoff = True
step("XON/XOFF")
port.xonxoff = False
port.reset_output_buffer()
step("flushed output")
port.reset_input_buffer()
step("flushed input")
# The kernel has no break and no modem lines on a pseudo-terminal.
port.send_break(0.01)
for line in ("dtr", "rts"):
    try:
        setattr(port, line, False)
    except OSError:
        step(f"no {line}")
port.close()
step("closed")
port = serial.Serial(path, 9600, timeout=20)
step("open again")
print("unplug", flush=True)
try:
    gone = port.read(1) == b""
except serial.SerialException:
    gone = True
assert gone, "the port is still there"
