export { findMissing, type Missing } from './find-entities.ts';
export { backupInput, interactionInput, refillInput, reminderInput, rollUpInput, supplyInput } from './inputs.ts';
