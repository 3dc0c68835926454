"""The case studies by name."""

from collections.abc import Mapping

from p2pverify.testnet.cases.finance import FINANCE_STUDY
from p2pverify.testnet.cases.healthcare import HEALTHCARE_STUDY
from p2pverify.testnet.cases.study import CaseStudy
from p2pverify.testnet.cases.supply_chain import SUPPLY_CHAIN_STUDY

STUDIES: Mapping[str, CaseStudy] = {
    study.name: study for study in (HEALTHCARE_STUDY, FINANCE_STUDY, SUPPLY_CHAIN_STUDY)
}
