import { createRandom, type Random } from './random.ts';

interface DemoTaken {
  /** Name of a demo medication. */
  readonly medication: string;
  readonly dose: string;
  readonly frequency: string;
  readonly times: readonly string[];
  readonly unitsADay: number;
  readonly supply: number;
  readonly recordedDaysAgo: number;
}

export interface DemoPatient {
  readonly number: string;
  readonly name: string;
  readonly email: string;
  readonly phone: string;
  readonly zone: string;
  readonly channel: 'email' | 'whatsapp';
  readonly remindersOptIn: boolean;
  readonly namesInTexts: boolean;
  readonly taken: readonly DemoTaken[];
}

const FIRST = [
  'Ada',
  'Ben',
  'Chidi',
  'Dana',
  'Elif',
  'Farid',
  'Grace',
  'Hana',
  'Ivo',
  'Jun',
  'Kofi',
  'Lena',
  'Mara',
  'Nils',
  'Omar',
  'Pia',
];
const LAST = [
  'Adler',
  'Brown',
  'Castro',
  'Dube',
  'Eriksen',
  'Fischer',
  'Gupta',
  'Haddad',
  'Ito',
  'Jones',
  'Kaya',
  'Lopez',
  'Mwangi',
  'Novak',
];
const ELSEWHERE = ['Europe/London', 'America/Los_Angeles', 'Asia/Tokyo', 'Pacific/Auckland'];

/** What is taken often, with how. */
const COMMON: readonly (readonly [medication: string, frequency: string, times: readonly string[], unitsADay: number])[] = [
  ['Metformin', 'daily', ['08:00', '20:00'], 2],
  ['Atorvastatin', 'daily', ['21:00'], 1],
  ['Lisinopril', 'daily', ['08:00'], 1],
  ['Amlodipine', 'daily', ['08:00'], 1],
  ['Levothyroxine', 'daily', ['06:30'], 1],
  ['Omeprazole', 'daily', ['07:30'], 1],
  ['Sertraline', 'daily', ['09:00'], 1],
  ['Warfarin', 'daily', ['18:00'], 1],
  ['Metoprolol', 'daily', ['08:00', '20:00'], 2],
  ['Allopurinol', 'daily', ['08:00'], 1],
  ['Hydrochlorothiazide', 'daily', ['08:00'], 1],
  ['Gabapentin', 'daily', ['08:00', '14:00', '22:00'], 3],
  ['Methotrexate', 'weekdays:mon', ['09:00'], 0.143],
  ['Furosemide', 'weekdays:mon,wed,fri', ['08:00'], 0.429],
  ['Fentanyl', 'every_n_days:3', ['10:00'], 0.333],
  ['Ibuprofen', 'as_needed', [], 0],
  ['Paracetamol', 'as_needed', [], 0],
  ['Salbutamol', 'as_needed', [], 0],
]; // biome-ignore format: a table

export function planPatients(seed: string, count: number, zone: string): DemoPatient[] {
  const random = createRandom(`${seed}:patients`);
  return Array.from({ length: count }, (_, index) => planPatient(random, index, zone));
}

function planPatient(random: Random, index: number, zone: string): DemoPatient {
  const [first, last] = [pick(random, FIRST), pick(random, LAST)];
  const number = `P${String(index + 1).padStart(5, '0')}`;
  const count = random.weighted([[1, 30], [2, 30], [3, 20], [4, 12], [6, 8]]); // biome-ignore format: weights
  const chosen = new Set<(typeof COMMON)[number]>();
  while (chosen.size < count) chosen.add(pick(random, COMMON));
  return {
    number,
    name: `${first} ${last}`,
    email: `${first}.${last}.${index + 1}@example.org`.toLowerCase(),
    phone: `+1202555${String(index % 10_000).padStart(4, '0')}`,
    zone: random.chance(0.9) ? zone : pick(random, ELSEWHERE),
    channel: random.chance(0.9) ? 'email' : 'whatsapp',
    remindersOptIn: random.chance(0.95),
    namesInTexts: random.chance(0.3),
    taken: [...chosen].map(([medication, frequency, times, unitsADay]) => ({
      medication,
      dose: '1 unit',
      frequency,
      times,
      unitsADay,
      supply: random.between(20, 90),
      recordedDaysAgo: random.between(0, 25),
    })),
  };
}

function pick<T>(random: Random, values: readonly T[]): T {
  return values[random.between(0, values.length - 1)] as T;
}
