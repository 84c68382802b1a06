@resilience @critical @files
@nist_cp_4 @dora_24_26 @pci_dss_12_10 @iso_27001_a_5_29
Feature: Ransomware
  Somebody encrypts the users' files. The vault is elsewhere, and holds what they were.

  Scenario: Uploads are encrypted by ransomware and come back from the vault
    Given the platform runs in two regions
    And file storage holds reference data
    And clients write to file storage
    And file storage has a full backup
    And clients have written 20 more times to each store
    When the fault ransomware happens
    And recovery from backups brings back file storage as of its latest backup
    Then every store answers through its public name
    And the backups used were whole
    And the reference data is unchanged
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
