export { findMissing, type Missing } from './find-entities.ts';
export { interactionInput, refillInput, reminderInput, rollUpInput, supplyInput } from './inputs.ts';
