//! What the code of a program says of its variables: one pass over all instructions.
//!
//! Compiled Go names the type in a register wherever it allocates, or asks a map (`cmd/compile/abi-internal.md`:
//! arguments in RAX, RBX, RCX, RDI, RSI). What was loaded from a variable, or is stored in one, next to such a call
//! tells what the variable holds. Registers and stack slots are followed from instruction to instruction and forgotten
//! at calls and where code can only be reached by a jump; what is claimed too seldom or contradicted is left out later.

use super::super::binary::image::Machine;
use super::super::binary::loaded::Loaded;
use super::super::binary::pclntab::Pclntab;
use super::types::{Shape, TypeId, Types};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use std::collections::HashMap;

/// Code of the largest programs takes some 100 MiB.
const MAX_CODE_BYTES: u64 = 512 << 20;
const MAX_FUNCTION_BYTES: u64 = 4 << 20;
const MAX_USES: usize = 4 << 20;
const MAX_CLAIMS: usize = 1 << 20;
const MAX_SLOTS: usize = 64;
const WINDOW_BYTES: u64 = 1 << 20;

/// What code claims of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claim {
    /// The word at its address points to such a thing.
    Points(TypeId),
    /// A value of this type begins at its address.
    Is(TypeId),
}

/// What one pass over the code found. Functions are named by their number in the pclntab.
#[derive(Debug, Default)]
pub struct CodeFacts {
    /// Variable and the functions that read, write or take its address, sorted.
    pub uses: Vec<(u64, u32)>,
    /// Variable and functions that put something into it, sorted: a part of the uses.
    pub fills: Vec<(u64, u32)>,
    /// What was claimed of each variable, and how often.
    pub claims: HashMap<(u64, Claim), u32>,
    /// Code of function values and the type of what they capture.
    pub closures: HashMap<u64, TypeId>,
    /// Types that are allocated, and at how many places.
    pub allocated: HashMap<TypeId, u32>,
    /// Instructions that were decoded.
    pub instructions: u64,
    /// Something was left out, as there was too much of it.
    pub is_truncated: bool,
}

/// What a function is to its callers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Other,
    /// Of the runtime itself: what it does with its variables tells nothing of types.
    Runtime,
    /// RAX is a type; gives a pointer to one.
    NewObject,
    /// RBX is a type, or nothing.
    Malloc,
    /// RAX is the type of the elements.
    MakeSlice,
    /// RAX is the old array, RSI the type of the elements.
    GrowSlice,
    MakeMap,
    MakeChannel,
    /// RAX is the type of the map, RBX the map.
    MapRead,
    MapWrite,
    /// Leaves registers as they are.
    KeepsRegisters,
    /// A method of a pointer: RAX is the receiver.
    Method,
}

fn role(name: &[u8]) -> Role {
    let Some(runtime) = name.strip_prefix(b"runtime.") else {
        let is_method = memchr::memmem::find(name, b".(*").is_some() && !name.contains(&b'[');
        let is_runtime = name.starts_with(b"internal/runtime/") || name.starts_with(b"runtime/internal/");
        return match (is_runtime, is_method) {
            (true, _) => Role::Runtime,
            (false, true) => Role::Method,
            (false, false) => Role::Other,
        };
    };
    let begins = |prefix: &str| runtime.starts_with(prefix.as_bytes());
    match runtime {
        b"newobject" => Role::NewObject,
        b"makeslice" | b"makeslice64" | b"makeslicecopy" => Role::MakeSlice,
        b"growslice" | b"growsliceNoAlias" => Role::GrowSlice,
        b"makemap" | b"makemap64" => Role::MakeMap,
        b"makechan" | b"makechan64" => Role::MakeChannel,
        _ if begins("mallocgc") => Role::Malloc,
        _ if begins("mapassign") => Role::MapWrite,
        _ if begins("mapaccess")
            || begins("mapdelete")
            || begins("mapiterinit")
            || begins("mapIterStart") =>
        {
            Role::MapRead
        }
        b"mapclear" => Role::MapRead,
        _ if begins("gcWriteBarrier") => Role::KeepsRegisters,
        _ => Role::Runtime,
    }
}

/// What a register or a stack slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Nothing,
    /// An address in code.
    Code(u64),
    /// A type.
    Type(TypeId),
    /// The address of a variable.
    Address(u64),
    /// What a variable held.
    Loaded(u64),
    /// A pointer to such a thing.
    Pointer(TypeId),
}

struct Function {
    entry: u64,
    end: u64,
    role: Role,
}

/// Goes through the code of a module. Finds nothing in programs that were built for other processors.
pub(in crate::golang) fn analyse(loaded: &Loaded, table: &mut Pclntab, types: &mut Types) -> CodeFacts {
    if loaded.image.machine != Machine::X86_64 {
        return CodeFacts::default();
    }
    let functions = functions(loaded, table);
    let mut pass = Pass {
        variables: [table.module.data.clone(), table.module.bss.clone()],
        text: table.module.text.clone(),
        entries: functions
            .iter()
            .enumerate()
            .filter_map(|(index, it)| Some((it.entry, u32::try_from(index).ok()?)))
            .collect(),
        functions: &functions,
        types,
        facts: CodeFacts::default(),
        methods: HashMap::new(),
        registers: [Value::Nothing; REGISTERS],
        slots: Vec::new(),
        function: 0,
    };
    pass.run(loaded);
    let (mut facts, methods) = (pass.facts, pass.methods);
    claim_by_methods(loaded, table, types, &mut facts, &methods);
    for places in [&mut facts.uses, &mut facts.fills] {
        places.sort_unstable();
        places.dedup();
        places.shrink_to_fit();
    }
    facts
}

fn functions(loaded: &Loaded, table: &mut Pclntab) -> Vec<Function> {
    let mut functions = Vec::new();
    for index in 0..table.module.functions {
        let function = table.function(loaded, index);
        let named = function.and_then(|function| {
            let name = table.name(loaded, function.name)?;
            Some(Function { entry: function.entry, end: function.end, role: role(&name) })
        });
        // A place for each, so that numbers stay those of the table.
        functions.push(named.unwrap_or(Function { entry: 0, end: 0, role: Role::Runtime }));
    }
    functions
}

/// Sixteen, and one for all that are none of them.
const REGISTERS: usize = 17;
const RAX: usize = 0;
const RDX: usize = 2;
const RBX: usize = 3;
const RSI: usize = 6;

fn number(register: Register) -> usize {
    let full = register.full_register();
    if full.is_gpr64() { full.number() } else { REGISTERS - 1 }
}

struct Pass<'a> {
    variables: [std::ops::Range<u64>; 2],
    text: std::ops::Range<u64>,
    entries: HashMap<u64, u32>,
    functions: &'a [Function],
    types: &'a mut Types,
    facts: CodeFacts,
    /// Variable, whether its address was the receiver, and the method: how often.
    methods: HashMap<(u64, bool, u32), u32>,
    registers: [Value; REGISTERS],
    slots: Vec<(u64, Value)>,
    function: u32,
}

impl Pass<'_> {
    fn run(&mut self, loaded: &Loaded) {
        let mut window = Vec::new();
        let mut begin = 0;
        let mut left = MAX_CODE_BYTES;
        for index in 0..self.functions.len() {
            let Function { entry, end, role } = self.functions[index];
            let length = end.saturating_sub(entry);
            if length == 0 || length > MAX_FUNCTION_BYTES {
                continue;
            }
            let Some(rest) = left.checked_sub(length) else {
                self.facts.is_truncated = true;
                break;
            };
            left = rest;
            if entry < begin || end > begin.saturating_add(window.len() as u64) {
                window.resize(usize::try_from(length.max(WINDOW_BYTES)).unwrap_or(0), 0);
                begin = entry;
                let filled = loaded.read_static(entry, &mut window).unwrap_or(0);
                window.truncate(filled);
            }
            let inside = usize::try_from(entry - begin).unwrap_or(usize::MAX);
            let code = window.get(inside..).and_then(|rest| rest.get(..usize::try_from(length).ok()?));
            let Some(code) = code else { continue };
            self.function = u32::try_from(index).unwrap_or(u32::MAX);
            self.registers = [Value::Nothing; REGISTERS];
            self.slots.clear();
            let mut decoder = Decoder::with_ip(64, code, entry, DecoderOptions::NONE);
            let mut instruction = Instruction::default();
            while decoder.can_decode() {
                decoder.decode_out(&mut instruction);
                self.facts.instructions += 1;
                self.note_use(&instruction);
                if role == Role::Other || role == Role::Method {
                    self.follow(&instruction);
                }
            }
        }
    }

    /// The variable that an instruction names.
    fn variable(&self, instruction: &Instruction) -> Option<u64> {
        let address = relative(instruction)?;
        self.variables.iter().any(|range| range.contains(&address)).then_some(address)
    }

    fn note_use(&mut self, instruction: &Instruction) {
        let Some(variable) = self.variable(instruction) else { return };
        let place = (variable, self.function);
        let is_known = self.facts.uses.iter().rev().take(8).any(|known| *known == place);
        if !is_known && self.facts.uses.len() < MAX_USES {
            self.facts.uses.push(place);
        }
        self.facts.is_truncated |= self.facts.uses.len() >= MAX_USES;
    }

    fn note_fill(&mut self, variable: u64) {
        if self.facts.fills.len() < MAX_USES {
            self.facts.fills.push((variable, self.function));
        }
    }

    fn claim(&mut self, variable: u64, claim: Claim) {
        let is_useful = match claim {
            Claim::Points(id) | Claim::Is(id) => id.is_known(),
        };
        if is_useful && self.facts.claims.len() < MAX_CLAIMS {
            *self.facts.claims.entry((variable, claim)).or_default() += 1;
        }
    }

    fn follow(&mut self, instruction: &Instruction) {
        match instruction.mnemonic() {
            Mnemonic::Lea => {
                let value = self.address_value(instruction);
                self.registers[number(instruction.op0_register())] = value;
            }
            Mnemonic::Mov => self.follow_move(instruction),
            Mnemonic::Call => self.follow_call(instruction),
            Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push | Mnemonic::Nop => {}
            Mnemonic::Xchg => {
                self.registers[number(instruction.op0_register())] = Value::Nothing;
                self.registers[number(instruction.op1_register())] = Value::Nothing;
            }
            Mnemonic::Mul | Mnemonic::Imul | Mnemonic::Div | Mnemonic::Idiv
                if instruction.op_count() == 1 =>
            {
                self.registers[RAX] = Value::Nothing;
                self.registers[RDX] = Value::Nothing;
            }
            _ => match instruction.flow_control() {
                // What follows is reached from elsewhere.
                FlowControl::UnconditionalBranch | FlowControl::Return | FlowControl::IndirectBranch => {
                    self.registers = [Value::Nothing; REGISTERS];
                }
                _ if instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Register => {
                    self.registers[number(instruction.op0_register())] = Value::Nothing;
                }
                _ => {}
            },
        }
        self.registers[REGISTERS - 1] = Value::Nothing;
    }

    fn address_value(&mut self, instruction: &Instruction) -> Value {
        let Some(address) = relative(instruction) else { return Value::Nothing };
        if self.variables.iter().any(|range| range.contains(&address)) {
            Value::Address(address)
        } else if self.text.contains(&address) {
            Value::Code(address)
        } else {
            self.types.at(address).map_or(Value::Nothing, Value::Type)
        }
    }

    fn follow_move(&mut self, instruction: &Instruction) {
        let slot = stack_slot(instruction);
        if instruction.op0_kind() == OpKind::Register {
            let is_whole = instruction.op0_register().is_gpr64();
            let value = match instruction.op1_kind() {
                OpKind::Register => self.registers[number(instruction.op1_register())],
                OpKind::Memory => match (self.variable(instruction), slot) {
                    (Some(variable), _) => Value::Loaded(variable),
                    (None, Some(slot)) => self.slot(slot),
                    (None, None) => Value::Nothing,
                },
                _ => Value::Nothing,
            };
            self.registers[number(instruction.op0_register())] =
                if is_whole { value } else { Value::Nothing };
            return;
        }
        if instruction.op0_kind() != OpKind::Memory {
            return;
        }
        let is_register = instruction.op1_kind() == OpKind::Register;
        let value =
            if is_register { self.registers[number(instruction.op1_register())] } else { Value::Nothing };
        if let Some(slot) = slot {
            self.set_slot(slot, value);
        }
        if let Some(variable) = self.variable(instruction) {
            if let Value::Pointer(id) = value {
                self.claim(variable, Claim::Points(id));
            }
            if is_register && instruction.op1_register().is_gpr64() {
                self.note_fill(variable);
            }
        }
        self.note_assignment(instruction, value);
    }

    /// What is stored in an object whose type is known: the code of a function value, or what a variable held, which
    /// then is what the field is.
    fn note_assignment(&mut self, instruction: &Instruction, value: Value) {
        let base = instruction.memory_base();
        if let (Value::Loaded(variable), true) = (value, base.is_gpr64())
            && instruction.memory_index() == Register::None
            && let Value::Pointer(id) = self.registers[number(base)]
        {
            let held = self.types.lead(id, instruction.memory_displacement64());
            // A field that may hold anything tells nothing.
            if held > TypeId::BYTES {
                self.claim(variable, Claim::Points(held));
            }
        }
        let is_begin =
            instruction.memory_displacement64() == 0 && instruction.memory_index() == Register::None;
        if let (Value::Code(code), true) = (value, is_begin && base.is_gpr64())
            && let Value::Pointer(id) = self.registers[number(base)]
            && self.types.info(id).shape == Shape::Value
            && self.facts.closures.len() < MAX_CLAIMS
        {
            self.facts.closures.insert(code, id);
        }
    }

    fn follow_call(&mut self, instruction: &Instruction) {
        let target =
            (instruction.op0_kind() == OpKind::NearBranch64).then(|| instruction.near_branch_target());
        let callee = target.and_then(|target| self.entries.get(&target).copied());
        let role =
            callee.and_then(|callee| self.functions.get(callee as usize)).map(|function| function.role);
        let [rax, rbx, rsi] = [RAX, RBX, RSI].map(|register| self.registers[register]);
        let mut result = Value::Nothing;
        match (role, rax, rbx) {
            (Some(Role::KeepsRegisters), ..) => return,
            (Some(Role::NewObject), Value::Type(id), _) | (Some(Role::Malloc), _, Value::Type(id)) => {
                *self.facts.allocated.entry(id).or_default() += 1;
                result = Value::Pointer(id);
            }
            (Some(Role::MakeSlice), Value::Type(id), _) => result = Value::Pointer(self.types.backing(id)),
            (Some(Role::GrowSlice), old, _) => {
                if let Value::Type(id) = rsi {
                    let array = self.types.backing(id);
                    if let Value::Loaded(variable) = old {
                        self.claim(variable, Claim::Points(array));
                        self.note_fill(variable);
                    }
                    result = Value::Pointer(array);
                }
            }
            (Some(Role::MakeMap | Role::MakeChannel), Value::Type(id), _) => {
                result = Value::Pointer(self.types.pointee(id));
            }
            (Some(Role::MapRead | Role::MapWrite), Value::Type(id), Value::Loaded(variable)) => {
                let map = self.types.pointee(id);
                self.claim(variable, Claim::Points(map));
                if role == Some(Role::MapWrite) {
                    self.note_fill(variable);
                }
            }
            (Some(Role::Method), Value::Loaded(variable) | Value::Address(variable), _) => {
                if let Some(callee) = callee
                    && self.methods.len() < MAX_CLAIMS
                {
                    let is_address = matches!(rax, Value::Address(_));
                    *self.methods.entry((variable, is_address, callee)).or_default() += 1;
                }
            }
            _ => {}
        }
        self.registers = [Value::Nothing; REGISTERS];
        self.registers[RAX] = result;
    }

    fn slot(&self, at: u64) -> Value {
        self.slots.iter().find(|(slot, _)| *slot == at).map_or(Value::Nothing, |(_, value)| *value)
    }

    fn set_slot(&mut self, at: u64, value: Value) {
        if let Some(known) = self.slots.iter_mut().find(|(slot, _)| *slot == at) {
            known.1 = value;
        } else if value != Value::Nothing && self.slots.len() < MAX_SLOTS {
            self.slots.push((at, value));
        }
    }
}

/// The address that an instruction names relative to itself.
fn relative(instruction: &Instruction) -> Option<u64> {
    // Whatever has no operand in memory has no base register either.
    (instruction.memory_base() == Register::RIP).then(|| instruction.ip_rel_memory_address())
}

fn stack_slot(instruction: &Instruction) -> Option<u64> {
    let is_plain = instruction.memory_base() == Register::RSP && instruction.memory_index() == Register::None;
    is_plain.then(|| instruction.memory_displacement64())
}

/// Takes the receivers of methods for what they are: by the name of the method, and only where one type has it.
fn claim_by_methods(
    loaded: &Loaded,
    table: &mut Pclntab,
    types: &mut Types,
    facts: &mut CodeFacts,
    methods: &HashMap<(u64, bool, u32), u32>,
) {
    if methods.is_empty() {
        return;
    }
    types.meet_all();
    let mut by_name: HashMap<String, Option<TypeId>> = HashMap::new();
    for (id, info) in types.known() {
        if let Some(name) = types.qualified_name(id).filter(|_| info.shape == Shape::Value) {
            by_name.entry(name).and_modify(|known| *known = None).or_insert(Some(id));
        }
    }
    let mut receivers: HashMap<u32, Option<TypeId>> = HashMap::new();
    for ((variable, is_address, method), times) in methods {
        let receiver = *receivers.entry(*method).or_insert_with(|| {
            let function = table.function(loaded, u64::from(*method))?;
            let name = table.name(loaded, function.name)?;
            by_name.get(&receiver(std::str::from_utf8(&name).ok()?)?).copied().flatten()
        });
        if let Some(id) = receiver {
            let claim = if *is_address { Claim::Is(id) } else { Claim::Points(id) };
            *facts.claims.entry((*variable, claim)).or_default() += times;
        }
    }
}

/// `net/http.Transport` of `net/http.(*Transport).roundTrip.func1`.
fn receiver(name: &str) -> Option<String> {
    let (package, rest) = name.split_once(".(*")?;
    let (name, method) = rest.split_once(").")?;
    // A function in a method captures its receiver, if at all, elsewhere.
    let is_plain = !method.contains('.') && !name.contains('[');
    is_plain.then(|| format!("{}.{name}", package.replace("%2e", ".")))
}

#[cfg(test)]
mod tests {
    use super::{Role, receiver, role};

    #[test]
    fn functions_are_told_apart_by_name() {
        for (name, expected) in [
            ("runtime.newobject", Role::NewObject),
            ("runtime.mallocgcSmallScanNoHeaderSC3", Role::Malloc),
            ("runtime.mapassign_faststr", Role::MapWrite),
            ("runtime.mapaccess2_fast64", Role::MapRead),
            ("runtime.gcWriteBarrier2", Role::KeepsRegisters),
            ("runtime.(*mheap).alloc", Role::Runtime),
            ("internal/runtime/maps.(*Map).PutSlot", Role::Runtime),
            ("main.(*Store).Put", Role::Method),
            ("main.Store.Put", Role::Other),
        ] {
            assert_eq!(role(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn a_receiver_is_named_with_its_whole_package() {
        for (name, expected) in [
            ("main.(*Store).Put", Some("main.Store")),
            ("net/http.(*Transport).roundTrip", Some("net/http.Transport")),
            ("gopkg.in/yaml%2ev3.(*Decoder).Decode", Some("gopkg.in/yaml.v3.Decoder")),
            ("main.(*Store).Put.func1", None),
            ("main.(*Box[go.shape.int]).Put", None),
            ("main.Store.Put", None),
            ("main.(*", None),
        ] {
            assert_eq!(receiver(name).as_deref(), expected, "{name}");
        }
    }
}
