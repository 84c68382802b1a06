@quarterly @critical @configuration
@soc_2_a1_2 @soc_2_a1_3 @nist_cp_4 @nist_cp_9 @nist_cp_10 @iso_22301_8_5 @iso_27001_a_5_30 @iso_27001_a_8_13 @dora_11 @dora_12 @dora_24_26 @hipaa_164_308_a_7 @nis2_21_2_c
Feature: Cluster recovery
  The manifests of a Kubernetes cluster are backed up daily. A namespace is deleted with everything in it: workloads, services, accounts,
  secrets, custom objects. All of it comes back from the vault in the order of dependencies, and the cluster itself is asked whether
  anything is otherwise than before. Needs a cluster: DRPLATFORM_KUBECONFIG names its kubeconfig. The namespace is the drill's own.

  Background:
    Given the platform runs in two regions
    And the cluster holds 200 items of reference data
    And Redis holds reference data
    And clients write to Redis
    And the cluster has a full backup

  Scenario: A namespace is deleted with everything in it
    When the namespace of the cluster is deleted
    And the cluster is restored from its latest backup
    Then the cluster is healthy and as in its backup
    And the reference data is unchanged
    And the backups used were whole
    And every store answers through its public name
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
