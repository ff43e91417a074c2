export interface DemoGym {
  readonly slug: string;
  readonly name: string;
  readonly zone: string;
}

const PLACES: readonly DemoGym[] = [
  { slug: 'iron-works', name: 'Iron Works', zone: 'America/New_York' },
  { slug: 'harbour-fit', name: 'Harbour Fit', zone: 'Europe/London' },
  { slug: 'lotus-strength', name: 'Lotus Strength', zone: 'Asia/Kolkata' },
  { slug: 'alpine-barbell', name: 'Alpine Barbell', zone: 'Europe/Zurich' },
  { slug: 'southern-cross', name: 'Southern Cross Fitness', zone: 'Australia/Sydney' },
  { slug: 'maple-movement', name: 'Maple Movement', zone: 'America/Toronto' },
  { slug: 'sakura-gym', name: 'Sakura Gym', zone: 'Asia/Tokyo' },
  { slug: 'baobab-training', name: 'Baobab Training', zone: 'Africa/Nairobi' },
  { slug: 'pampas-power', name: 'Pampas Power', zone: 'America/Argentina/Buenos_Aires' },
  { slug: 'fjord-athletics', name: 'Fjord Athletics', zone: 'Europe/Oslo' },
  { slug: 'desert-rowing', name: 'Desert Rowing', zone: 'Asia/Dubai' },
  { slug: 'redwood-lifting', name: 'Redwood Lifting', zone: 'America/Los_Angeles' },
];

/** The first `count` demo gyms. After the named ones come numbered branches of them. */
export function demoGyms(count: number): DemoGym[] {
  return Array.from({ length: count }, (_, index) => {
    const place = PLACES[index % PLACES.length] as DemoGym;
    const branch = Math.floor(index / PLACES.length) + 1;
    return branch === 1 ? place : { ...place, slug: `${place.slug}-${branch}`, name: `${place.name} ${branch}` };
  });
}
