// Demonstration data, not for clinical use: a small selection of what public sources say, shortened, without doses and exceptions. A real
// check needs a licensed table (nightshift import medication.interactions). "US label" is the prescribing information approved by the FDA,
// as published on DailyMed, with the section; names are international non-proprietary ones.

export const DEMO_TABLE_VERSION = 'demo-2026-11 (demonstration data, not for clinical use)';

/** Name; ingredients; brands; therapeutic classes; properties that rules speak of. */
const MEDICATIONS = `
Acetylsalicylic acid;acetylsalicylic acid;aspirin,ecotrin;antiplatelet;salicylate
Alprazolam;alprazolam;xanax;benzodiazepine;
Aliskiren;aliskiren;tekturna,rasilez;renin-inhibitor;
Allopurinol;allopurinol;zyloprim,zyloric;xanthine-oxidase-inhibitor;
Amiodarone;amiodarone;cordarone,pacerone;antiarrhythmic;qt-prolonging
Amitriptyline;amitriptyline;elavil;tca;qt-prolonging
Amlodipine;amlodipine;norvasc;calcium-channel-blocker;
Amoxicillin and clavulanic acid;amoxicillin,clavulanic acid;augmentin;penicillin;
Apixaban;apixaban;eliquis;doac;
Atazanavir;atazanavir;reyataz;protease-inhibitor;
Atenolol;atenolol;tenormin;beta-blocker;
Atorvastatin;atorvastatin;lipitor,sortis;statin;
Azathioprine;azathioprine;imuran;purine-antimetabolite;
Calcium carbonate;calcium carbonate;caltrate,tums;calcium-supplement;polyvalent-cation
Candesartan;candesartan;atacand;arb;
Carbamazepine;carbamazepine;tegretol;anticonvulsant;strong-cyp3a4-inducer
Ciclosporin;ciclosporin;neoral,sandimmune;calcineurin-inhibitor;
Ciprofloxacin;ciprofloxacin;cipro,ciproxin;fluoroquinolone;qt-prolonging,strong-cyp1a2-inhibitor
Citalopram;citalopram;celexa,cipramil;ssri;qt-prolonging
Clarithromycin;clarithromycin;biaxin,klacid;macrolide;qt-prolonging,strong-cyp3a4-inhibitor
Clopidogrel;clopidogrel;plavix;antiplatelet;
Colchicine;colchicine;colcrys;gout-medicine;
Cotrimoxazole;sulfamethoxazole,trimethoprim;bactrim,septra;sulfonamide;
Dabigatran;dabigatran etexilate;pradaxa;doac;
Dextromethorphan;dextromethorphan;robitussin dm;cough-suppressant;
Diazepam;diazepam;valium;benzodiazepine;
Diclofenac;diclofenac;voltaren,cataflam;nsaid;
Digoxin;digoxin;lanoxin;cardiac-glycoside;
Diltiazem;diltiazem;cardizem,tiazac;calcium-channel-blocker;
Disulfiram;disulfiram;antabuse;alcohol-deterrent;
Dofetilide;dofetilide;tikosyn;antiarrhythmic;qt-prolonging
Dolutegravir;dolutegravir;tivicay;integrase-inhibitor;
Domperidone;domperidone;motilium;prokinetic;qt-prolonging
Doxycycline;doxycycline;vibramycin;tetracycline;
Enalapril;enalapril;vasotec;ace-inhibitor;
Ergotamine;ergotamine;cafergot,ergomar;ergot-alkaloid;
Escitalopram;escitalopram;lexapro,cipralex;ssri;qt-prolonging
Esomeprazole;esomeprazole;nexium;ppi;cyp2c19-inhibitor
Ethinylestradiol and levonorgestrel;ethinylestradiol,levonorgestrel;microgynon,levora;combined-oral-contraceptive;
Febuxostat;febuxostat;uloric,adenuric;xanthine-oxidase-inhibitor;
Fentanyl;fentanyl;duragesic;opioid;
Ferrous sulfate;ferrous sulfate;feosol;iron-supplement;polyvalent-cation
Fluconazole;fluconazole;diflucan;azole-antifungal;qt-prolonging
Fluoxetine;fluoxetine;prozac;ssri;
Fluvoxamine;fluvoxamine;luvox,faverin;ssri;strong-cyp1a2-inhibitor
Furosemide;furosemide;lasix;loop-diuretic;
Gabapentin;gabapentin;neurontin;gabapentinoid;
Gemfibrozil;gemfibrozil;lopid;fibrate;
Glibenclamide;glibenclamide;diabeta,glyburide;sulfonylurea;
Glyceryl trinitrate;glyceryl trinitrate;nitrostat,nitroglycerin;nitrate;
Haloperidol;haloperidol;haldol;antipsychotic;qt-prolonging
Hydrochlorothiazide;hydrochlorothiazide;microzide;thiazide;
Ibuprofen;ibuprofen;advil,motrin,nurofen;nsaid;
Insulin glargine;insulin glargine;lantus,toujeo;insulin;
Isosorbide mononitrate;isosorbide mononitrate;imdur;nitrate;
Isotretinoin;isotretinoin;accutane,roaccutane;retinoid;
Itraconazole;itraconazole;sporanox;azole-antifungal;strong-cyp3a4-inhibitor
Ivabradine;ivabradine;corlanor,procoralan;heart-rate-medicine;
Lamotrigine;lamotrigine;lamictal;anticonvulsant;
Levodopa and carbidopa;levodopa,carbidopa;sinemet;dopaminergic;
Levothyroxine;levothyroxine;synthroid,euthyrox;thyroid-hormone;
Linezolid;linezolid;zyvox;oxazolidinone;
Lisinopril;lisinopril;zestril,prinivil;ace-inhibitor;
Lisinopril and hydrochlorothiazide;lisinopril,hydrochlorothiazide;zestoretic;ace-inhibitor,thiazide;
Lithium carbonate;lithium;lithobid,priadel;mood-stabiliser;
Losartan;losartan;cozaar;arb;
Lovastatin;lovastatin;mevacor;statin;
Mercaptopurine;mercaptopurine;purixan,purinethol;purine-antimetabolite;
Meropenem;meropenem;merrem;carbapenem;
Metformin;metformin;glucophage;biguanide;
Methotrexate;methotrexate;trexall,otrexup;folate-antagonist;
Metoprolol;metoprolol;lopressor,toprol;beta-blocker;
Metronidazole;metronidazole;flagyl;nitroimidazole;
Morphine;morphine;ms contin;opioid;
Naproxen;naproxen;aleve,naprosyn;nsaid;
Nirmatrelvir and ritonavir;nirmatrelvir,ritonavir;paxlovid;protease-inhibitor;strong-cyp3a4-inhibitor
Omeprazole;omeprazole;prilosec,losec;ppi;cyp2c19-inhibitor
Oxycodone;oxycodone;oxycontin,roxicodone;opioid;
Pantoprazole;pantoprazole;protonix,pantoloc;ppi;
Paracetamol;paracetamol;tylenol,panadol,acetaminophen;analgesic;
Pethidine;pethidine;demerol,meperidine;opioid;
Phenelzine;phenelzine;nardil;maoi;
Phenytoin;phenytoin;dilantin;anticonvulsant;strong-cyp3a4-inducer
Pimozide;pimozide;orap;antipsychotic;qt-prolonging
Potassium chloride;potassium chloride;k-dur,klor-con;potassium-supplement;
Pregabalin;pregabalin;lyrica;gabapentinoid;
Propranolol;propranolol;inderal;beta-blocker;non-selective-beta-blocker
Repaglinide;repaglinide;prandin,novonorm;meglitinide;
Rifampicin;rifampicin;rifadin,rifampin;rifamycin;strong-cyp3a4-inducer
Rilpivirine;rilpivirine;edurant;nnrti;
Riociguat;riociguat;adempas;guanylate-cyclase-stimulator;
Rivaroxaban;rivaroxaban;xarelto;doac;
Rosuvastatin;rosuvastatin;crestor;statin;
Sacubitril and valsartan;sacubitril,valsartan;entresto;arb,neprilysin-inhibitor;
Salbutamol;salbutamol;ventolin,albuterol,proair;beta-2-agonist;
Selegiline;selegiline;eldepryl,emsam;maoi;
Sertraline;sertraline;zoloft,lustral;ssri;
Sildenafil;sildenafil;viagra,revatio;pde5-inhibitor;
Simvastatin;simvastatin;zocor;statin;
Spironolactone;spironolactone;aldactone;potassium-sparing-diuretic;
St John's wort;hypericum perforatum;st johns wort;herbal-antidepressant;strong-cyp3a4-inducer
Sumatriptan;sumatriptan;imitrex,imigran;triptan;
Tadalafil;tadalafil;cialis;pde5-inhibitor;
Tamsulosin;tamsulosin;flomax;alpha-blocker;
Theophylline;theophylline;theo-24,uniphyl;xanthine;
Ticagrelor;ticagrelor;brilinta,brilique;antiplatelet;
Tizanidine;tizanidine;zanaflex,sirdalud;muscle-relaxant;
Tramadol;tramadol;ultram,tramal;opioid;
Valproate;valproate;depakote,epilim;anticonvulsant;
Venlafaxine;venlafaxine;effexor;snri;
Verapamil;verapamil;calan,isoptin;calcium-channel-blocker;
Warfarin;warfarin;coumadin,jantoven;vitamin-k-antagonist;`;

/** Side; side; severity; effect; source. A name with `@` in front is a class or property, one without an ingredient. */
const INTERACTIONS = `
warfarin;@nsaid;MAJOR;more bleeding, above all of stomach and gut;US label of warfarin, 7
warfarin;acetylsalicylic acid;MAJOR;more bleeding;US label of warfarin, 7
warfarin;clopidogrel;MAJOR;more bleeding;US label of warfarin, 7
warfarin;@ssri;MODERATE;more bleeding;US label of warfarin, 7
warfarin;amiodarone;MAJOR;stronger effect of warfarin for weeks, more bleeding;US label of warfarin, 7; US label of amiodarone, 7
warfarin;metronidazole;MAJOR;stronger effect of warfarin, more bleeding;US label of metronidazole, drug interactions
warfarin;sulfamethoxazole;MAJOR;stronger effect of warfarin, more bleeding;US label of sulfamethoxazole and trimethoprim, drug interactions
warfarin;fluconazole;MAJOR;stronger effect of warfarin, more bleeding;US label of fluconazole, drug interactions
warfarin;ciprofloxacin;MODERATE;stronger effect of warfarin;US label of ciprofloxacin, 7
warfarin;@macrolide;MODERATE;stronger effect of warfarin;US label of clarithromycin, 7
warfarin;rifampicin;MAJOR;weaker effect of warfarin, clots;US label of rifampicin, drug interactions
warfarin;carbamazepine;MAJOR;weaker effect of warfarin, clots;US label of carbamazepine, drug interactions
warfarin;hypericum perforatum;MAJOR;weaker effect of warfarin, clots;US label of warfarin, 7
warfarin;paracetamol;MINOR;regular use can raise the INR;US over-the-counter label of paracetamol, warnings
@doac;rifampicin;MAJOR;weaker effect of the anticoagulant, clots;US labels of apixaban, rivaroxaban and dabigatran, 7
@doac;@nsaid;MODERATE;more bleeding;US labels of apixaban and rivaroxaban, 7
@doac;@antiplatelet;MAJOR;more bleeding;US labels of apixaban and rivaroxaban, 7
apixaban;@strong-cyp3a4-inducer;MAJOR;weaker effect of apixaban, clots;US label of apixaban, 7
rivaroxaban;@strong-cyp3a4-inducer;MAJOR;weaker effect of rivaroxaban, clots;US label of rivaroxaban, 7
clopidogrel;omeprazole;MAJOR;less of its active form, weaker effect of clopidogrel;US label of clopidogrel, 7
clopidogrel;esomeprazole;MAJOR;less of its active form, weaker effect of clopidogrel;US label of clopidogrel, 7
clopidogrel;repaglinide;MAJOR;more repaglinide, low blood sugar;US label of clopidogrel, 7
clopidogrel;@nsaid;MODERATE;more bleeding;US label of clopidogrel, 7
ticagrelor;@strong-cyp3a4-inhibitor;MAJOR;more ticagrelor, more bleeding;US label of ticagrelor, 7
@ssri;@maoi;CONTRAINDICATED;serotonin syndrome;US label of sertraline, 4
@snri;@maoi;CONTRAINDICATED;serotonin syndrome;US label of venlafaxine, 4
@tca;@maoi;CONTRAINDICATED;high fever, seizures, death;US label of amitriptyline, contraindications
@triptan;@maoi;CONTRAINDICATED;more sumatriptan;US label of sumatriptan, 4
@triptan;@ssri;MODERATE;serotonin syndrome;US label of sumatriptan, 7
@triptan;ergotamine;CONTRAINDICATED;long spasms of blood vessels;US label of sumatriptan, 4
linezolid;@ssri;MAJOR;serotonin syndrome;US label of linezolid, 5
linezolid;@maoi;CONTRAINDICATED;high blood pressure, serotonin syndrome;US label of linezolid, 4
tramadol;@ssri;MAJOR;serotonin syndrome, seizures;US label of tramadol, 7
tramadol;@maoi;CONTRAINDICATED;serotonin syndrome, opioid toxicity;US label of tramadol, 4
pethidine;@maoi;CONTRAINDICATED;unpredictable, fatal reactions;US label of pethidine (meperidine), 4
dextromethorphan;@maoi;CONTRAINDICATED;serotonin syndrome;US label of dextromethorphan and quinidine, 4
@ssri;@nsaid;MODERATE;more bleeding of stomach and gut;US label of sertraline, 7
@ssri;hypericum perforatum;MAJOR;serotonin syndrome;US label of sertraline, 7
citalopram;@cyp2c19-inhibitor;MODERATE;more citalopram, longer QT interval;US label of citalopram, 7
@opioid;@benzodiazepine;MAJOR;deep sedation, suppressed breathing, death;FDA Drug Safety Communication of 31 August 2016
@opioid;@gabapentinoid;MAJOR;suppressed breathing;FDA Drug Safety Communication of 19 December 2019
fentanyl;@strong-cyp3a4-inhibitor;MAJOR;more fentanyl, suppressed breathing;US label of fentanyl transdermal, 7
@nitrate;@pde5-inhibitor;CONTRAINDICATED;severe drop of blood pressure;US label of sildenafil, 4
riociguat;@nitrate;CONTRAINDICATED;drop of blood pressure;US label of riociguat, 4
riociguat;@pde5-inhibitor;CONTRAINDICATED;drop of blood pressure;US label of riociguat, 4
@pde5-inhibitor;@alpha-blocker;MODERATE;drop of blood pressure;US label of sildenafil, 7
sildenafil;@strong-cyp3a4-inhibitor;MAJOR;more sildenafil;US label of sildenafil, 7
simvastatin;@strong-cyp3a4-inhibitor;CONTRAINDICATED;damage of muscles;US label of simvastatin, 4
lovastatin;@strong-cyp3a4-inhibitor;CONTRAINDICATED;damage of muscles;US label of lovastatin, contraindications
atorvastatin;@strong-cyp3a4-inhibitor;MAJOR;damage of muscles;US label of atorvastatin, 7
simvastatin;gemfibrozil;CONTRAINDICATED;damage of muscles;US label of simvastatin, 4
simvastatin;ciclosporin;CONTRAINDICATED;damage of muscles;US label of simvastatin, 4
simvastatin;amiodarone;MAJOR;damage of muscles;US label of simvastatin, 7
simvastatin;verapamil;MAJOR;damage of muscles;US label of simvastatin, 7
simvastatin;diltiazem;MAJOR;damage of muscles;US label of simvastatin, 7
simvastatin;amlodipine;MODERATE;damage of muscles at higher doses;US label of simvastatin, 7
rosuvastatin;ciclosporin;MAJOR;damage of muscles;US label of rosuvastatin, 7
rosuvastatin;gemfibrozil;MAJOR;damage of muscles;US label of rosuvastatin, 7
colchicine;@strong-cyp3a4-inhibitor;MAJOR;colchicine poisoning;US label of colchicine, 7
colchicine;ciclosporin;MAJOR;colchicine poisoning;US label of colchicine, 7
@ace-inhibitor;@arb;MAJOR;low blood pressure, high potassium, kidney damage;US label of lisinopril, 7
@ace-inhibitor;aliskiren;MAJOR;high potassium, kidney damage, contraindicated in diabetes;US label of aliskiren, 4 and 7
@ace-inhibitor;sacubitril;CONTRAINDICATED;angioedema;US label of sacubitril and valsartan, 4
@ace-inhibitor;@potassium-sparing-diuretic;MAJOR;high potassium;US label of lisinopril, 7
@ace-inhibitor;potassium chloride;MAJOR;high potassium;US label of lisinopril, 7
@ace-inhibitor;@nsaid;MODERATE;weaker effect, kidney damage;US label of lisinopril, 7
@ace-inhibitor;trimethoprim;MAJOR;high potassium;US label of sulfamethoxazole and trimethoprim, drug interactions
@arb;@potassium-sparing-diuretic;MAJOR;high potassium;US label of losartan, 7
@arb;@nsaid;MODERATE;weaker effect, kidney damage;US label of losartan, 7
spironolactone;potassium chloride;MAJOR;high potassium;US label of spironolactone, 7
spironolactone;trimethoprim;MAJOR;high potassium;US label of spironolactone, 7
lithium;@ace-inhibitor;MAJOR;lithium poisoning;US label of lithium, 7
lithium;@thiazide;MAJOR;lithium poisoning;US label of lithium, 7
lithium;@nsaid;MAJOR;lithium poisoning;US label of lithium, 7
methotrexate;@nsaid;MAJOR;more methotrexate, damage of marrow and gut;US label of methotrexate, 7
methotrexate;trimethoprim;MAJOR;damage of the bone marrow;US label of methotrexate, 7
methotrexate;@ppi;MODERATE;more methotrexate;US label of methotrexate, 7
azathioprine;allopurinol;MAJOR;damage of the bone marrow;US label of azathioprine, drug interactions
mercaptopurine;allopurinol;MAJOR;damage of the bone marrow;US label of mercaptopurine, 7
azathioprine;febuxostat;CONTRAINDICATED;damage of the bone marrow;US label of febuxostat, 4
mercaptopurine;febuxostat;CONTRAINDICATED;damage of the bone marrow;US label of febuxostat, 4
digoxin;amiodarone;MAJOR;more digoxin, digoxin poisoning;US label of digoxin, 7
digoxin;verapamil;MAJOR;more digoxin, slow heart;US label of digoxin, 7
digoxin;@macrolide;MAJOR;more digoxin, digoxin poisoning;US label of digoxin, 7
@beta-blocker;verapamil;MAJOR;slow heart, heart block;US label of verapamil, drug interactions
@beta-blocker;diltiazem;MODERATE;slow heart, heart block;US label of diltiazem, drug interactions
@non-selective-beta-blocker;@beta-2-agonist;MAJOR;narrowing of the airways, weaker effect of both;US label of salbutamol (albuterol), 7
@beta-blocker;@insulin;MODERATE;hidden signs of low blood sugar;US label of insulin glargine, 7
@qt-prolonging;@qt-prolonging;MAJOR;longer QT interval, dangerous heart rhythms;US label of citalopram, 5 and 7
domperidone;@strong-cyp3a4-inhibitor;CONTRAINDICATED;dangerous heart rhythms;EMA recommendations on domperidone, 2014
pimozide;@strong-cyp3a4-inhibitor;CONTRAINDICATED;dangerous heart rhythms;US label of pimozide, contraindications
ivabradine;@strong-cyp3a4-inhibitor;CONTRAINDICATED;very slow heart;US label of ivabradine, 4
ergotamine;@strong-cyp3a4-inhibitor;CONTRAINDICATED;lack of blood in brain and limbs;US label of ergotamine, boxed warning
tizanidine;@strong-cyp1a2-inhibitor;CONTRAINDICATED;low blood pressure, sedation;US label of tizanidine, 4
theophylline;@strong-cyp1a2-inhibitor;MAJOR;theophylline poisoning;US label of theophylline, drug interactions
carbamazepine;@macrolide;MAJOR;carbamazepine poisoning;US label of carbamazepine, drug interactions
@combined-oral-contraceptive;@strong-cyp3a4-inducer;MAJOR;the contraceptive may fail;US Medical Eligibility Criteria for Contraceptive Use, CDC 2024
lamotrigine;@combined-oral-contraceptive;MODERATE;less lamotrigine, seizures;US label of lamotrigine, 7
lamotrigine;valproate;MAJOR;more lamotrigine, serious rash;US label of lamotrigine, boxed warning and 7
valproate;@carbapenem;MAJOR;much less valproate, seizures;US label of meropenem, 7
levothyroxine;@polyvalent-cation;MODERATE;less levothyroxine is taken up, keep 4 hours apart;US label of levothyroxine, 7
@fluoroquinolone;@polyvalent-cation;MODERATE;less of the antibiotic is taken up;US label of ciprofloxacin, 7
@tetracycline;@polyvalent-cation;MODERATE;less of the antibiotic is taken up;US label of doxycycline, drug interactions
@tetracycline;@retinoid;MAJOR;raised pressure inside the skull;US label of isotretinoin, warnings
levodopa;ferrous sulfate;MODERATE;less levodopa is taken up;US label of carbidopa and levodopa, drug interactions
@sulfonylurea;fluconazole;MODERATE;low blood sugar;US label of fluconazole, drug interactions
@sulfonylurea;@macrolide;MODERATE;low blood sugar;US label of clarithromycin, 7
repaglinide;gemfibrozil;CONTRAINDICATED;low blood sugar, severe and long;US label of repaglinide, 4
metronidazole;disulfiram;CONTRAINDICATED;psychotic reactions;US label of metronidazole, contraindications
rilpivirine;@ppi;CONTRAINDICATED;too little rilpivirine, resistance;US label of rilpivirine, 4
atazanavir;@ppi;MAJOR;too little atazanavir, resistance;US label of atazanavir, 7
dolutegravir;dofetilide;CONTRAINDICATED;more dofetilide, dangerous heart rhythms;US label of dolutegravir, 4
dolutegravir;metformin;MODERATE;more metformin;US label of dolutegravir, 7
dolutegravir;rifampicin;MAJOR;less dolutegravir, resistance;US label of dolutegravir, 7
dolutegravir;@polyvalent-cation;MODERATE;less dolutegravir is taken up;US label of dolutegravir, 7
rifampicin;@protease-inhibitor;CONTRAINDICATED;too little of the protease inhibitor, resistance;US labels of atazanavir and of nirmatrelvir with ritonavir, 4`;

export interface DemoMedication {
  readonly name: string;
  readonly ingredients: readonly string[];
  readonly brands: readonly string[];
  readonly classes: readonly string[];
  readonly properties: readonly string[];
}

export function demoMedications(): DemoMedication[] {
  return linesOf(MEDICATIONS).map((line) => {
    const [name = '', ...lists] = line.split(';');
    const [ingredients = [], brands = [], classes = [], properties = []] = lists.map(wordsOf);
    return { name, ingredients, brands, classes, properties };
  });
}

export interface DemoInteraction {
  readonly aKind: 'ingredient' | 'class';
  readonly aName: string;
  readonly bKind: 'ingredient' | 'class';
  readonly bName: string;
  readonly severity: string;
  readonly effect: string;
  readonly source: string;
}

export function demoInteractions(): DemoInteraction[] {
  return linesOf(INTERACTIONS).map((line) => {
    const [a = '', b = '', severity = '', effect = '', ...source] = line.split(';');
    const [first, second] = [sideOf(a), sideOf(b)];
    return {
      aKind: first.kind,
      aName: first.name,
      bKind: second.kind,
      bName: second.name,
      severity,
      effect,
      source: source.join(';'),
    };
  });
}

function linesOf(table: string): string[] {
  return table.trim().split('\n');
}

function wordsOf(list: string): string[] {
  return list === '' ? [] : list.split(',');
}

function sideOf(text: string): { readonly kind: 'ingredient' | 'class'; readonly name: string } {
  return text.startsWith('@') ? { kind: 'class', name: text.slice(1) } : { kind: 'ingredient', name: text };
}
