/** What one owner of callers may use: memory, connections, requests, and turns of the event loop. */

export { FairSlots, NO_CALLER, type SlotOwner } from './fair-slots.ts';
export { LimitError } from './limit-error.ts';
export { MemoryBudget, memoryLimits } from './memory.ts';
export { type ConnectionPlace, type MemoryHolder, type Owner, Owners } from './owner.ts';
export { FIXED_LIMITS, Quota, type WhyRefused } from './quota.ts';
export { Rates } from './rates.ts';
export type { Reader } from './readers.ts';
export { Slots } from './slots.ts';
export { Turns } from './turns.ts';
