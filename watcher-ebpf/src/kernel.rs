//! Members of kernel structures, at offsets that the loader resolves.
//!
//! Rust emits no CO-RE relocations. Instead each member is a constant in `.rodata` that the loader fills from
//! the running kernel's BTF before the programs are loaded. The verifier then sees a load at a constant offset
//! from a typed pointer, which it checks against the same BTF and admits without a helper call.

use aya_ebpf::Global;
use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user, bpf_task_pt_regs,
};
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::read_volatile;
use watcher_ebpf::NOWHERE;

/// A pointer to a kernel structure.
#[repr(transparent)]
pub struct Pointer<T>(*const T);

impl<T> Clone for Pointer<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Pointer<T> {}

impl<T> PartialEq for Pointer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Pointer<T> {
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub fn as_ptr(self) -> *const T {
        self.0
    }

    pub fn from_ptr(pointer: *const T) -> Self {
        Pointer(pointer)
    }
}

/// A member of type `T` of the structure `Owner`.
#[repr(transparent)]
pub struct Member<Owner, T> {
    offset: Global<u32>,
    types: PhantomData<fn(Owner) -> T>,
}

impl<Owner, T: Copy> Member<Owner, T> {
    const fn unresolved() -> Self {
        Member { offset: Global::new(0), types: PhantomData }
    }

    /// Where the member of this structure lies.
    #[inline(always)]
    pub fn address(&self, owner: Pointer<Owner>) -> *const u8 {
        owner.0.cast::<u8>().wrapping_add(self.offset.load() as usize)
    }

    /// The same, for members that a kernel may lack: from a pointer whose type it knows the verifier admits no
    /// distance that leads out of every structure.
    #[inline(always)]
    pub fn find(&self, owner: Pointer<Owner>) -> Option<*const u8> {
        let offset = self.offset.load();
        (offset != NOWHERE).then(|| owner.0.cast::<u8>().wrapping_add(offset as usize))
    }

    /// Its value, for pointers whose type the verifier knows.
    #[inline(always)]
    pub fn of(&self, owner: Pointer<Owner>) -> T {
        // SAFETY: the verifier admits the load only where BTF has a member of this size at this offset, and a
        // load through a pointer that has become stale reads as zero.
        unsafe { read_volatile(self.address(owner).cast::<T>()) }
    }

    /// Its value, for pointers that the verifier takes for numbers.
    #[inline(always)]
    pub fn probe(&self, owner: Pointer<Owner>) -> Option<T> {
        let from = self.find(owner)?;
        let mut value = core::mem::MaybeUninit::<T>::zeroed();
        let failed = probe_read(value.as_mut_ptr().cast(), size_of::<T>() as u32, from);
        // SAFETY: zeroed before, filled by the helper; `T` is an integer or a pointer.
        (!failed).then_some(unsafe { value.assume_init() })
    }
}

/// The task that runs this program.
#[inline(always)]
pub fn current() -> Pointer<Task> {
    // SAFETY: takes nothing; the kernel gives a pointer whose type the verifier knows.
    Pointer::from_ptr(unsafe { bpf_get_current_task_btf() }.cast::<Task>().cast_const())
}

/// The registers with which a task entered the kernel.
#[inline(always)]
pub fn registers(task: Pointer<Task>) -> Pointer<Registers> {
    // SAFETY: the verifier admits typed pointers to tasks only, and knows the type of the result.
    let registers = unsafe { bpf_task_pt_regs(task.as_ptr().cast_mut().cast()) };
    Pointer::from_ptr(registers as *const Registers)
}

/// Copies memory of the current process; `None` where that failed, as for a page that is not there at the moment.
#[inline(always)]
pub fn probe_user<T: Copy>(from: u64) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: there is room for a `T`; the helper survives any address.
    let result = unsafe {
        bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, from as *const c_void)
    };
    // SAFETY: zeroed before, filled by the helper; `T` consists of integers.
    (result == 0).then_some(unsafe { value.assume_init() })
}

/// Copies kernel memory; true where that failed.
#[inline(always)]
pub fn probe_read(to: *mut c_void, bytes: u32, from: *const u8) -> bool {
    // SAFETY: the verifier checks that `to` has room for `bytes`; the helper survives any `from`.
    unsafe { bpf_probe_read_kernel(to, bytes, from.cast()) != 0 }
}

macro_rules! structures {
    ($($name:ident)*) => {$(pub enum $name {})*};
}

structures! { Cache Task Registers Signal Mm Files FileTable File Inode SuperBlock Dentry Socket Sock UnixAddress }

macro_rules! members {
    ($($name:ident: $owner:ty => $value:ty,)*) => {$(
        #[unsafe(no_mangle)]
        pub static $name: Member<$owner, $value> = Member::unresolved();
    )*};
}

// The loader's list of the same names says which member of which structure each is.
members! {
    TASK_TGID: Task => u32,
    TASK_PID: Task => u32,
    TASK_REAL_PARENT: Task => Pointer<Task>,
    TASK_GROUP_LEADER: Task => Pointer<Task>,
    TASK_START_BOOTTIME: Task => u64,
    TASK_LAST_RUN: Task => u64,
    TASK_STATE: Task => u32,
    TASK_EXIT_STATE: Task => u32,
    TASK_FLAGS: Task => u32,
    TASK_COMM: Task => u8,
    TASK_MM: Task => Pointer<Mm>,
    TASK_FILES: Task => Pointer<Files>,
    TASK_SIGNAL: Task => Pointer<Signal>,
    TASK_FS_BASE: Task => u64,
    FILES_TABLE: Files => Pointer<FileTable>,
    FILE_TABLE_SIZE: FileTable => u32,
    FILE_TABLE_SLOTS: FileTable => u64,
    REGISTERS_CALL: Registers => u64,
    REGISTERS_FIRST: Registers => u64,
    REGISTERS_SECOND: Registers => u64,
    REGISTERS_THIRD: Registers => u64,
    REGISTERS_FOURTH: Registers => u64,
    REGISTERS_PLACE: Registers => u64,
    REGISTERS_FRAME: Registers => u64,
    REGISTERS_STACK: Registers => u64,
    REGISTERS_GOROUTINE: Registers => u64,
    SIGNAL_LIVE: Signal => u32,
    MM_MAP_COUNT: Mm => u32,
    MM_BREAK: Mm => u64,
    FILE_INODE: File => Pointer<Inode>,
    FILE_DENTRY: File => Pointer<Dentry>,
    FILE_POSITION: File => u64,
    FILE_READ_TO: File => u64,
    FILE_FLAGS: File => u32,
    FILE_MODE: File => u32,
    FILE_PRIVATE: File => Pointer<Socket>,
    CACHE_NAME: Cache => *const u8,
    CACHE_USERS: Cache => u32,
    INODE_NUMBER: Inode => u64,
    INODE_CHANGED_SECONDS: Inode => u64,
    INODE_CHANGED_NANOS: Inode => u32,
    INODE_ACCESSED_SECONDS: Inode => u64,
    INODE_ACCESSED_NANOS: Inode => u32,
    INODE_MODE: Inode => u16,
    INODE_SUPER_BLOCK: Inode => Pointer<SuperBlock>,
    SUPER_BLOCK_MAGIC: SuperBlock => u64,
    DENTRY_PARENT: Dentry => Pointer<Dentry>,
    DENTRY_NAME: Dentry => *const u8,
    SOCKET_SOCK: Socket => Pointer<Sock>,
    SOCK_FAMILY: Sock => u16,
    SOCK_STATE: Sock => u8,
    SOCK_TYPE: Sock => u16,
    SOCK_PROTOCOL: Sock => u16,
    SOCK_BACKLOG: Sock => u32,
    SOCK_QUEUED: Sock => u32,
    MPTCP_FIRST: Sock => Pointer<Sock>,
    SOCK_LOCAL_V4: Sock => u32,
    SOCK_PEER_V4: Sock => u32,
    SOCK_LOCAL_V6: Sock => [u8; 16],
    SOCK_PEER_V6: Sock => [u8; 16],
    SOCK_LOCAL_PORT: Sock => u16,
    SOCK_PEER_PORT: Sock => u16,
    INET_SOURCE_PORT: Sock => u16,
    TCP_SENT: Sock => u32,
    TCP_RECEIVED: Sock => u32,
    TCP_ANSWERED: Sock => u32,
    TCP_DATA_RECEIVED: Sock => u32,
    TCP_DATA_SENT: Sock => u32,
    MPTCP_SENT: Sock => u32,
    MPTCP_RECEIVED: Sock => u32,
    MPTCP_ANSWERED: Sock => u32,
    UNIX_PEER: Sock => Pointer<Sock>,
    UNIX_ADDRESS: Sock => Pointer<UnixAddress>,
    UNIX_ADDRESS_LENGTH: UnixAddress => u32,
    UNIX_ADDRESS_NAME: UnixAddress => u8,
}
