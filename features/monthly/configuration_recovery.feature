@monthly @critical @configuration
@soc_2_a1_2 @nist_cp_9 @iso_27001_a_8_13 @hipaa_164_308_a_7 @dora_12 @nis2_21_2_c @soc_2_a1_3 @nist_cp_4 @iso_22301_8_5 @dora_24_26 @nist_cp_10
Feature: Configuration recovery
  Manifests, environment and secrets are backed up daily. A wrong configuration is rolled out, and all secrets are replaced at once, so that
  nothing can log in any more. Both come back from the vault, compared with their backup before anything reads them.

  Background:
    Given the platform runs in two regions
    And the configuration holds reference data
    And Redis holds reference data
    And clients write to Redis
    And the configuration has a full backup

  Scenario: A wrong configuration is rolled out
    When the fault configuration-wrong happens
    And the configuration is restored from its latest backup
    Then the reference data is unchanged
    And the backups used were whole
    And the backups are kept for as long as the policy says
    And every store answers through its public name
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

  Scenario: All secrets are replaced and nothing can log in
    When the fault secret-rotated-away happens
    And the configuration is restored from its latest backup
    Then the reference data is unchanged
    And the backups used were whole
    And the backups are kept for as long as the policy says
    And every store answers through its public name
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
