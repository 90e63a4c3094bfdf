import torch

from fokker.exact import Gaussian
from fokker.guidance import Guidance, GuidanceClaims
from fokker.perturbation import VP


def test_a_guidance_claims_one_evaluation_and_no_law_unless_it_says_more():
    class Nothing(Guidance):
        def wrap(self, model):
            return model

    prior = Gaussian(VP(), torch.zeros(2), torch.ones(2))
    assert Nothing().claims == GuidanceClaims(evaluations=1, neutral=None, bias=None)
    assert Nothing().law(prior) is None
    assert Nothing().wrap(prior) is prior
