import { clinic } from './clinic.ts';
import { gym } from './gym.ts';
import { litigation } from './litigation.ts';
import { medication } from './medication.ts';
import type { Seed } from './seed.ts';
import { zakat } from './zakat.ts';

export { readMails } from './mails.ts';
export { type ReplayedStep, replaySeed, type Seed, type Site } from './seed.ts';

/** Of each system what its document shows. */
export const SEEDS: readonly Seed[] = [clinic, gym, litigation, medication, zakat];
