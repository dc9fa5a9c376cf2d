//! System calls as an attacker makes them, by number. The only file of the hostile driver with `unsafe`; it decides nothing.
#![allow(unsafe_code)]

use std::arch::asm;
use std::ffi::CStr;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::Errno;

/// Makes a system call. The callers pass pointers to what outlives the call, or to nothing; what a call may break is this process alone, which
/// is about to end.
pub(super) fn call(number: i64, arguments: &[usize]) -> Result<usize, Errno> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: see above.
    let value = unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) };
    if value >= 0 { Ok(value as usize) } else { Err(errno()) }
}

fn errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// The address of a string, as a call wants it.
pub(super) fn text(text: &CStr) -> usize {
    text.as_ptr().expose_provenance()
}

/// The address of a value, as a call wants it.
pub(super) fn address<T>(value: &mut T) -> usize {
    (&raw mut *value).expose_provenance()
}

/// A descriptor by its number.
pub(super) fn fd(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the scene's descriptors are open for the whole life of this process, which closes none of them.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Makes the system call `number`, which makes a process (fork, vfork, clone with `flags` and no stack of its own). The child ends at once,
/// without touching memory.
#[cfg(target_arch = "x86_64")]
pub(super) fn make_process(number: i64, arguments: [usize; 2]) -> Result<usize, Errno> {
    let value: i64;
    // SAFETY: the child only exits, from registers, so that the memory and the stack that it may share with us stay as they are.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor edi, edi",
            "mov eax, 60",
            "syscall",
            "2:",
            inlateout("rax") number => value,
            inlateout("rdi") arguments[0] => _,
            in("rsi") arguments[1],
            in("rdx") 0,
            in("r10") 0,
            in("r8") 0,
            out("rcx") _,
            out("r11") _,
        );
    }
    kernel(value)
}

#[cfg(target_arch = "x86_64")]
fn kernel(value: i64) -> Result<usize, Errno> {
    if (-4095..0).contains(&value) {
        Err(Errno::from_raw_os_error(-value as i32))
    } else {
        Ok(value as usize)
    }
}

/// A system call by the gate of 32-bit programs, with its number there.
#[cfg(target_arch = "x86_64")]
pub(super) fn call_32(number: i32) -> Result<usize, Errno> {
    let value: i64;
    // SAFETY: the callers pass calls without arguments.
    unsafe {
        asm!(
            "int 0x80",
            inlateout("rax") i64::from(number) => value,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    kernel(i64::from(value as i32))
}

/// Runs code from memory that was given the bytes of `ret`.
#[cfg(target_arch = "x86_64")]
pub(super) fn run_code(at: usize) {
    // SAFETY: the caller has made the page at `at` readable, writable and executable; one instruction returns.
    unsafe {
        std::ptr::with_exposed_provenance_mut::<u8>(at).write(0xc3);
        let code: extern "C" fn() = std::mem::transmute(std::ptr::with_exposed_provenance::<()>(at));
        code();
    }
}

/// Writes to every page of the memory at `at`.
pub(super) fn touch(at: usize, length: usize) {
    for offset in (0..length).step_by(4096) {
        // SAFETY: the caller has mapped this memory, readable and writable.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(at + offset).write_volatile(1) };
    }
}
