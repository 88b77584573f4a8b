//! Memory of buffers that are empty. A thread keeps a little for the connection that it polls next, so that one that is
//! idle holds none, and one that is busy does not ask the allocator each time.

use std::cell::RefCell;

/// How much one buffer holds at most, in bytes.
pub(crate) const SIZE: usize = 64 << 10;

/// How many buffers a thread keeps, of writes: as many connections as usually wait for the same tasks.
const MAX_WRITE_BUFFERS: usize = 4;

thread_local! {
    static WRITE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static READ: RefCell<Option<Box<[u8]>>> = const { RefCell::new(None) };
}

/// Returns an empty buffer. It may have capacity.
pub(crate) fn take_write_buffer() -> Vec<u8> {
    // A thread that ends has none any more.
    WRITE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

pub(crate) fn give_write_buffer(mut buffer: Vec<u8>) {
    buffer.clear();
    let _ = WRITE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < MAX_WRITE_BUFFERS {
            spare.push(buffer);
        }
    });
}

/// Returns [`SIZE`] bytes. What they are is of no meaning.
pub(crate) fn take_read_buffer() -> Box<[u8]> {
    READ.try_with(RefCell::take).ok().flatten().unwrap_or_else(|| vec![0; SIZE].into())
}

pub(crate) fn give_read_buffer(buffer: Box<[u8]>) {
    let _ = READ.try_with(|spare| spare.replace(Some(buffer)));
}
