//! Terminal attributes as line settings and back, as far as a pseudo-terminal carries them: the kernel forces 8 data bits and no parity
//! on it. It does no I/O.

use rustix::termios::{ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex, Termios};

use super::super::{FlowControl, LineSettings, StopBits};

/// The rate that a port has before somebody sets one, as every tty of Linux's USB serial drivers.
pub(super) const FIRST_BAUD: u32 = 9600;

/// What a new port is like: as a terminal that nobody has configured, but without echo, which would send back to the device what it
/// sends before an application can forbid it.
pub(super) fn initial(termios: &mut Termios) {
    termios.input_modes |= InputModes::ICRNL | InputModes::IXON;
    termios.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
    termios.local_modes.remove(LocalModes::ECHO);
    termios.local_modes |= LocalModes::EXTPROC | LocalModes::ICANON;
    termios.control_modes |= ControlModes::CREAD | ControlModes::HUPCL | ControlModes::CLOCAL;
    // A terminal's attributes can always carry it.
    let _ = termios.set_speed(FIRST_BAUD);
}

/// What the line is to be like. Parity and data bits are not in it: a pseudo-terminal does not carry them.
pub(super) fn of(termios: &Termios) -> LineSettings {
    let code = |index| termios.special_codes[index];
    let flow = if termios.control_modes.contains(ControlModes::CRTSCTS) {
        FlowControl::RtsCts
    } else if termios.input_modes.contains(InputModes::IXON)
        && !termios.local_modes.contains(LocalModes::ICANON)
    {
        // In canonical mode IXON is for a person's Ctrl-S, which the kernel's line discipline keeps to itself.
        FlowControl::XonXoff { xon: code(SpecialCodeIndex::VSTART), xoff: code(SpecialCodeIndex::VSTOP) }
    } else {
        FlowControl::None
    };
    LineSettings {
        stop_bits: match termios.control_modes.contains(ControlModes::CSTOPB) {
            true => StopBits::Two,
            false => StopBits::One,
        },
        flow,
        line_end: termios.local_modes.contains(LocalModes::ICANON).then_some(b'\n'),
        ..LineSettings::new(termios.output_speed())
    }
}

/// Whether the last close drops DTR and RTS.
pub(super) fn hangs_up(termios: &Termios) -> bool {
    termios.control_modes.contains(ControlModes::HUPCL)
}
