"""Substructures the hidden truth chooses from. Which of them matter, and how much, is drawn from the seed."""

BINDING = (
    "c1ccncc1",  # pyridine
    "c1cncnc1",  # pyrimidine
    "c1ccc2[nH]ccc2c1",  # indole
    "c1ccc2ncccc2c1",  # quinoline
    "c1ccc2[nH,n]cnc2c1",  # benzimidazole
    "c1ccc2scnc2c1",  # benzothiazole
    "c1cscn1",  # thiazole
    "c1ccsc1",  # thiophene
    "c1ccoc1",  # furan
    "c1conc1",  # isoxazole
    "c1nnco1",  # 1,3,4-oxadiazole
    "c1cnnc1",  # pyrazole, pyridazine edge
    "c1cn[nH,n]c1",  # pyrazole
    "c1cncn1",  # imidazole
    "n1nncc1",  # triazole
    "c1ccc2OCOc2c1",  # benzodioxole
    "O=c1cc(-,:[#6])oc2ccccc12",  # chromone
    "O=c1[nH,n]cnc2ccccc12",  # quinazolinone
    "c1ccc(cc1)-c1ccccc1",  # biphenyl
    "c1ccc(cc1)Oc1ccccc1",  # diaryl ether
    "c1ccc(cc1)C(=O)N",  # benzamide
    "[a]NC(=O)[#6]",  # anilide
    "[a]C(=O)N[a]",  # bis-aryl amide
    "[a]NC(=O)N",  # aryl urea
    "[a]S(=O)(=O)N",  # aryl sulfonamide
    "[#6]S(=O)(=O)N(C)C",  # tertiary sulfonamide
    "[a][CH2]N",  # benzylamine
    "[a][CH2][CH2]N",  # phenethylamine
    "[a]N1CCNCC1",  # aryl piperazine
    "C1CCNCC1",  # piperidine
    "C1COCCN1",  # morpholine
    "C1CCNC1",  # pyrrolidine
    "[a]O[CH2]C(=O)N",  # aryloxyacetamide
    "[a]S[CH2]C(=O)N",  # thioacetamide ether
    "[a]C(=O)[#6]",  # aryl ketone
    "[a]/C=N/N",  # hydrazone
    "C(=O)NN",  # hydrazide
    "[a]C=C",  # styrene
    "[a][OH]",  # phenol
    "[a][NH2]",  # aniline
    "[a]C(F)(F)F",  # aryl CF3
    "[NX3;!$(N-C=O);!$(N-S);!$(N-a)]~*~*~*~[a]",  # basic nitrogen three bonds from an aromatic ring
    "[#7;!$(N-C=O)]~*~*~*~*~[#7;!$(N-C=O)]",  # two nitrogens four apart
    "[O;X1]=C~*~*~*~[n]",  # acceptor facing a ring nitrogen
    "[a;r5]~[a;r6]",  # five ring joined to six ring
    "[a]!@[a]",  # two rings directly joined
    "[a]~!@*~!@[a]",  # two rings joined by one atom
    "[a]~!@*~!@*~!@[a]",  # two rings joined by two atoms
    "[CH2][CH2][CH2][CH3]",  # butyl
    "C([CH3])([CH3])[CH3]",  # tert-butyl
    "C(=O)O[#6]",  # ester
    "C#N",  # nitrile
    "[#6]~[#7]~[#6](~[#8])~[#7]~[#6]",  # urea and cyclic kin
    "c1ccc2c(c1)CCN2",  # indoline
    "c1ccc2c(c1)CCNC2",  # tetrahydroisoquinoline
    "[R2]1~[R2]~[R]~[R]~[R]1",  # fused five ring
    "C1CC1",  # cyclopropane
    "C1CCCCC1",  # cyclohexane
)

CLIFFS = (
    "[c;$(c[CH3]);$(c:c[#7,#6;!a])]",  # methyl beside an attachment point
    "[a]Cl",
    "[a]F",
    "[a]Br",
    "[a]O[CH3]",
    "[a][CH3]",
    "[a][OH]",
    "[a]N(=O)~O",
    "[N;!$(N-C=O)][CH3]",
    "[NX3](C=O)[CH3]",
    "C(=O)[OH]",
    "[a]C#N",
)

TOXIC = (
    "[a]N(=O)~O",  # nitroaromatic
    "C=CC(=O)[#6,#7,#8]",  # Michael acceptor
    "c1c([OH])c([OH])ccc1",  # catechol
    "O=C1C=CC(=O)C=C1",  # quinone
    "C(=S)N",  # thioamide
    "[CX4][Cl,Br]",  # alkyl halide
    "C=C(C#N)C#N",  # ylidene malononitrile
    "O=C1CSC(=S)N1",  # rhodanine
    "[a]/C=N/N",  # hydrazone
    "N=C=S",  # isothiocyanate
    "[N;!$(N-C=O);!$(N-S);!$(N-a);!$(N=*)]([CX4])[CX4]",  # amine: with lipophilicity a membrane disruptor
    "c1ccc2c(c1)ccc1ccccc12",  # phenanthrene
    "c1ccc2cc3ccccc3cc2c1",  # acridine-like tricycle
    "[#6]=NN=[#6]",  # azine
)
