export interface DemoFacility {
  readonly slug: string;
  readonly name: string;
  readonly zone: string;
}

const PLACES: readonly DemoFacility[] = [
  { slug: 'mukono-road', name: 'Mukono Road Clinic', zone: 'Africa/Kampala' },
  { slug: 'harbour-view', name: 'Harbour View Clinic', zone: 'Africa/Johannesburg' },
  { slug: 'sathorn', name: 'Sathorn Community Clinic', zone: 'Asia/Bangkok' },
  { slug: 'lakeside', name: 'Lakeside Health Centre', zone: 'Africa/Blantyre' },
  { slug: 'porto-alegre-sul', name: 'Porto Alegre Sul', zone: 'America/Sao_Paulo' },
  { slug: 'mission-street', name: 'Mission Street Clinic', zone: 'America/Los_Angeles' },
  { slug: 'kariakoo', name: 'Kariakoo Clinic', zone: 'Africa/Dar_es_Salaam' },
  { slug: 'chennai-beach', name: 'Chennai Beach Clinic', zone: 'Asia/Kolkata' },
  { slug: 'southwark', name: 'Southwark Clinic', zone: 'Europe/London' },
  { slug: 'accra-ridge', name: 'Accra Ridge Clinic', zone: 'Africa/Accra' },
];

/** The first `count` demo facilities. After the named ones come numbered branches of them. */
export function demoFacilities(count: number): DemoFacility[] {
  return Array.from({ length: count }, (_, index) => {
    const place = PLACES[index % PLACES.length] as DemoFacility;
    const branch = Math.floor(index / PLACES.length) + 1;
    return branch === 1 ? place : { ...place, slug: `${place.slug}-${branch}`, name: `${place.name} ${branch}` };
  });
}
