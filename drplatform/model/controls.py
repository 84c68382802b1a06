"""The controls that the strategy's clauses bear on: framework, what each asks for in a few words, and the id that OSCAL takes.

Sources: AICPA Trust Services Criteria (2017, points of focus 2022); ISO/IEC 27001:2022 Annex A; ISO 22301:2019; NIST SP 800-53 Rev. 5; PCI DSS
4.0.1; HIPAA Security Rule, 45 CFR 164.308; Regulation (EU) 2022/2554 (DORA); Directive (EU) 2022/2555 (NIS2). The words are ours.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Control:
    framework: str
    id: str
    asks: str

    @property
    def name(self) -> str:
        return f"{self.framework} {self.id}"

    @property
    def token(self) -> str:
        """As an OSCAL control id: `nist-cp-9`, `hipaa-164.308-a-7`."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-")

    @property
    def mark(self) -> str:
        """As a tag of a feature, which pytest takes as a marker: `nist_cp_9`."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")

    @property
    def text(self) -> str:
        """Where its framework is published; empty for one that is not listed."""
        return FRAMEWORKS.get(self.framework, "")


FRAMEWORKS = {
    "SOC 2": "https://www.aicpa-cima.com/resources/download/2017-trust-services-criteria-with-revised-points-of-focus-2022",
    "ISO 27001": "https://www.iso.org/standard/27001",
    "ISO 22301": "https://www.iso.org/standard/75106.html",
    "NIST": "https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final",
    "PCI DSS": "https://www.pcisecuritystandards.org/document_library/",
    "HIPAA": "https://www.ecfr.gov/current/title-45/section-164.308",
    "DORA": "https://eur-lex.europa.eu/eli/reg/2022/2554/oj",
    "NIS2": "https://eur-lex.europa.eu/eli/dir/2022/2555/oj",
}

ALL = (
    Control("SOC 2", "A1.2", "backup processes and recovery infrastructure are designed, run and watched"),
    Control("SOC 2", "A1.3", "recovery procedures are tested"),
    Control("ISO 27001", "A.5.29", "information stays secure during a disruption"),
    Control("ISO 27001", "A.5.30", "ICT is ready for business continuity, planned and tested against objectives"),
    Control("ISO 27001", "A.8.13", "backups are kept and regularly tested under an agreed policy"),
    Control("ISO 27001", "A.8.14", "processing facilities are redundant enough for the availability required"),
    Control("ISO 22301", "8.5", "continuity plans are exercised at planned intervals, and reports lead to improvement"),
    Control("NIST", "CP-4", "the contingency plan is tested, results reviewed, corrective actions started"),
    Control("NIST", "CP-9", "system, user and documentation data are backed up, protected and tested"),
    Control("NIST", "CP-10", "the system is recovered to a known state within its objectives"),
    Control("PCI DSS", "12.10", "an incident response plan with recovery and backup procedures is tested at least yearly"),
    Control("HIPAA", "164.308(a)(7)", "contingency plan: data backup, disaster recovery, emergency mode, testing and revision"),
    Control("DORA", "11", "ICT response and recovery plans exist and are tested at least yearly"),
    Control("DORA", "12", "backup policies, restoration and recovery procedures and methods, with recovery objectives per function"),
    Control("DORA", "24-26", "digital operational resilience is tested, scenario-based, and findings are remedied"),
    Control("NIS2", "21(2)(c)", "business continuity: backup management, disaster recovery and crisis management"),
)

BY_NAME = {control.name: control for control in ALL}
BY_MARK = {control.mark: control for control in ALL}


def control(name: str) -> Control:
    """The control of this name; one that is not listed, too: its framework is all but its last word."""
    framework, _, number = name.rpartition(" ")
    return BY_NAME.get(name, Control(framework, number, ""))
